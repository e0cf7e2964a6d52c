from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steno.backends.qwen.checkpoint.model_source import DEFAULT_MODEL
from steno.backends.registry import BackendOptions
from steno.backends.vllm.factory import create
from steno.backends.vllm.vllm_options import RESERVED, options_of, parse_arguments
from steno.errors import SettingsError


def test_each_setting_reaches_vllm() -> None:
    options = options_of(
        BackendOptions(
            model_id="me/mine", revision="v1", allowlist=("me/*",), device="cuda", dtype="bfloat16", quantize="fp8",
            slots=48, gpu_memory_mb=9000, vllm_args='{"data-parallel-size": 2}', vllm_sleep_level=1,
        )
    )  # fmt: skip
    assert (options.model_id, options.model.revision, options.model.allowlist) == ("me/mine", "v1", ("me/*",))
    assert (options.device, options.dtype, options.quantize) == ("cuda", "bfloat16", "fp8")
    assert (options.slots, options.gpu_memory_mb, options.sleep_level) == (48, 9000, 1)
    assert options.extra == {"data_parallel_size": 2}


def test_without_a_model_id_it_is_the_default_model() -> None:
    assert options_of(BackendOptions()).model_id == DEFAULT_MODEL


@pytest.mark.parametrize(
    ("options", "param", "says"),
    [
        ({"speculative": True}, "USE_SPECULATIVE", "not supported by the vllm backend"),
        ({"dual": True, "speculative": True}, "DUAL_MODEL", "not supported by the vllm backend"),
        ({"onnx_encoder": Path("/x")}, "ONNX_ENCODER_PATH", "not supported by the vllm backend"),
        ({"trt_encoder": Path("/x")}, "TRT_ENCODER_PATH", "not supported by the vllm backend"),
        ({"long_slots": 3}, "LONG_SLOTS", "not supported by the vllm backend"),
        ({"quantize": "int8"}, "QUANTIZE", "use fp8, or VLLM_ARGS"),
        ({"device": "cuda:1"}, "DEVICE", "CUDA_VISIBLE_DEVICES"),
        ({"device": "mps"}, "DEVICE", "DEVICE=mps"),
        ({"vllm_args": "{"}, "VLLM_ARGS", "not valid JSON"),
        ({"vllm_args": "[1]"}, "VLLM_ARGS", "must be a JSON object"),
    ],
)
def test_what_vllm_has_no_counterpart_for_is_refused_by_name(options: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        options_of(BackendOptions(**options))
    assert refused.value.param == param


@pytest.mark.parametrize("name", list(RESERVED))
@pytest.mark.parametrize("spell", [str, lambda name: "--" + name.replace("_", "-")], ids=["plain", "as an option"])
def test_arguments_that_have_a_setting_of_their_own_are_refused(name: str, spell: Any) -> None:
    with pytest.raises(SettingsError, match=f"VLLM_ARGS cannot set {name}: "):
        parse_arguments(f'{{"{spell(name)}": 1}}')


def test_arguments_may_be_spelled_like_vllm_s_command_line() -> None:
    assert parse_arguments('{"--max-num-seqs": 64, "block_size": 16}') == {"max_num_seqs": 64, "block_size": 16}
    assert parse_arguments("") == {}


@pytest.mark.parametrize(
    ("options", "uploads", "live"),
    [
        ({"slots": 16}, 12, 4),
        ({"slots": 1}, 1, 1),
        ({"slots": 16, "vllm_args": '{"max_num_seqs": 64}'}, 48, 16),
    ],
)
def test_a_quarter_of_the_slots_is_reserved_for_live_work(options: dict[str, Any], uploads: int, live: int) -> None:
    backend = create(BackendOptions(**options))
    assert (backend.workers, backend.live_workers) == (uploads, live)
