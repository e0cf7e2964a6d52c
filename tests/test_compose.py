from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from steno import compose, settings
from steno.backends.registry import BackendOptions
from steno.backends.scripted import ScriptedBackend
from steno.engine.engine import Engine
from steno.engine.gate import Limits


def test_backends_are_told_every_setting_of_theirs() -> None:
    chosen = settings.load(
        model_id="me/mine", sphinx_workers=2, model_revision="v1", model_allowlist=("me/*",), hf_home=Path("/hf"),
        device="cuda:1", dtype="float16", quantize="int8", max_slots=9, forced_aligner_id="me/aligner",
        use_causal_encoder=False, fast_model_id="me/small", use_speculative=True, dual_model=True,
        gpu_memory_mb=9000, use_cuda_graphs=True,
    )  # fmt: skip
    told = compose.backend_options_of(chosen)
    assert told == BackendOptions(
        model_id="me/mine", workers=2, revision="v1", allowlist=("me/*",), hf_home=Path("/hf"),
        device="cuda:1", dtype="float16", quantize="int8", slots=9, aligner_id="me/aligner",
        incremental=False, fast_model_id="me/small", speculative=True, dual=True,
        gpu_memory_mb=9000, cuda_graphs=True,
    )  # fmt: skip
    default = BackendOptions()
    assert all(getattr(told, field.name) != getattr(default, field.name) for field in fields(BackendOptions))


def test_a_backend_s_defaults_are_those_of_the_settings() -> None:
    assert compose.backend_options_of(settings.Settings.model_construct()) == BackendOptions()


@pytest.mark.parametrize(("aligns", "longest_s"), [(False, 30.0), (True, 12.0)])
def test_pieces_are_no_longer_than_the_aligner_takes(aligns: bool, longest_s: float) -> None:
    backend = ScriptedBackend()
    backend.capabilities = replace(backend.capabilities, word_times=not aligns)  # type: ignore[misc]
    assert compose.longest_piece_s(settings.load(align_piece_s=12), Engine(backend, Limits())) == longest_s
