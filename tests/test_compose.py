from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest
from loguru import logger

from steno import compose, settings
from steno.backends.aligners.sphinx import SphinxAligner
from steno.backends.registry import BackendOptions
from steno.backends.scripted import ScriptedBackend
from steno.cli.live_transcriber import _NoTelemetry
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine


@pytest.mark.parametrize(("fronts", "threads"), [(1, 4), (3, 2), (8, 1)])
async def test_fronts_share_half_of_the_usable_cores(
    fronts: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    chosen = settings.load(fronts=fronts)
    live = compose.live_of(chosen, local_engine(ScriptedBackend(), AdmissionLimits()), None, _NoTelemetry())
    context = live._context
    assert (context.speaker_stage._threads._max_workers, context.turn_stage._size) == (threads, threads)
    await live.aclose()


def test_backends_are_told_every_setting_of_theirs() -> None:
    chosen = settings.load(
        model_id="me/mine", sphinx_workers=2, model_revision="v1", model_allowlist=("me/*",), hf_home=Path("/hf"),
        device="cuda:1", dtype="float16", quantize="int8", max_slots=9, long_slots=3, forced_aligner_id="me/aligner",
        use_causal_encoder=False, fast_model_id="me/small", use_speculative=True, dual_model=True,
        gpu_memory_mb=9000, use_cuda_graphs=True, model_language="de", vllm_args="{}", vllm_sleep_level=1,
        vllm_base_url=("http://a:8000/v1",), vllm_api_key="secret", onnx_encoder_path=Path("/encoder"),
    )  # fmt: skip
    told = compose.backend_options_of(chosen)
    assert told == BackendOptions(
        model_id="me/mine", workers=2, revision="v1", allowlist=("me/*",), hf_home=Path("/hf"),
        device="cuda:1", dtype="float16", quantize="int8", slots=9, long_slots=3, aligner_id="me/aligner",
        incremental=False, fast_model_id="me/small", speculative=True, dual=True,
        gpu_memory_mb=9000, cuda_graphs=True, language="de", vllm_args="{}", vllm_sleep_level=1,
        vllm_urls=("http://a:8000",), vllm_api_key="secret", onnx_encoder=Path("/encoder"),
    )  # fmt: skip
    default = BackendOptions()
    same = [field.name for field in fields(BackendOptions) if getattr(told, field.name) == getattr(default, field.name)]
    assert same == ["trt_encoder"], "the other one is set"
    other = settings.load(trt_encoder_path=Path("/engine"))
    assert compose.backend_options_of(other) == BackendOptions(trt_encoder=Path("/engine"))


def test_a_backend_that_has_no_use_for_an_encoder_says_so() -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    compose.engine_of(settings.load(asr_backend="sphinx", onnx_encoder_path=Path("/encoder")))
    logger.remove(sink)
    assert lines == ["ONNX_ENCODER_PATH is set, but the sphinx backend has no use for it\n"]


def test_a_backend_s_defaults_are_those_of_the_settings() -> None:
    assert compose.backend_options_of(settings.Settings.model_construct()) == BackendOptions()


@pytest.mark.parametrize(("aligner", "longest_s"), [(None, 30.0), (SphinxAligner(), 12.0)])
def test_pieces_are_no_longer_than_the_aligner_takes(aligner: SphinxAligner | None, longest_s: float) -> None:
    engine = local_engine(ScriptedBackend(), AdmissionLimits(), aligner=aligner)
    assert compose.longest_piece_s(settings.load(align_piece_s=12), engine) == longest_s


@pytest.mark.parametrize(
    ("chosen", "aligner"),
    [
        ({"asr_backend": "moonshine"}, "sphinx"),
        ({"asr_backend": "moonshine", "aligner": "none"}, None),
        ({"asr_backend": "moonshine", "aligner": "qwen"}, "qwen"),
        ({"asr_backend": "moonshine", "forced_aligner_id": "Qwen/Qwen3-ForcedAligner-0.6B"}, "qwen"),
        ({"asr_backend": "qwen"}, "sphinx"),
        ({"asr_backend": "qwen", "forced_aligner_id": "Qwen/Qwen3-ForcedAligner-0.6B"}, "qwen"),
        ({"asr_backend": "sphinx"}, None),
        ({"asr_backend": "sphinx", "aligner": "sphinx"}, "sphinx"),
    ],
)
def test_any_recogniser_may_have_any_aligner(chosen: dict[str, str], aligner: str | None) -> None:
    engine = compose.engine_of(settings.load(**chosen))
    assert (engine.aligner.name if engine.aligner is not None else None) == aligner
