"""What the settings ask of vLLM."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from steno.backends.qwen.checkpoint.model_source import DEFAULT_MODEL, ModelRef
from steno.errors import SettingsError

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """Which checkpoint, on which device, with how much of it."""

    model: ModelRef
    device: str = "auto"
    dtype: str = "auto"
    quantize: str = "none"
    slots: int | None = None
    """Max requests that are decoded together (`max_num_seqs`); None = the default of the device."""
    gpu_memory_mb: int | None = None
    sleep_level: int = 0
    """What unloading does: 0 = end vLLM's process; 1 = keep the weights in host memory; 2 = drop them."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further arguments of vLLM's engine, which take precedence."""

    @property
    def model_id(self) -> str:
        return self.model.model_id


REMOTE_SLOTS = 64
"""Requests for each server at once, by default; its `--max-num-seqs` decides what it decodes together."""


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Which servers, and the checkpoint that they serve."""

    model: ModelRef
    """Its processor is needed here, not its weights."""
    urls: tuple[str, ...]
    """Without `/v1`."""
    api_key: str | None = field(repr=False)
    slots: int
    """Max requests at once, over all servers."""


def remote_options_of(options: BackendOptions) -> RemoteOptions:
    """Raises SettingsError: no server, or a setting that only the servers have."""
    if not options.vllm_urls:
        raise SettingsError("the vllm-remote backend needs VLLM_BASE_URL", param="VLLM_BASE_URL")
    _check_own_engine(options)
    set_here = {
        "QUANTIZE": options.quantize not in ("auto", "none"),
        "GPU_MEMORY_MB": options.gpu_memory_mb is not None,
        "VLLM_SLEEP_LEVEL": options.vllm_sleep_level > 0,
        "VLLM_ARGS": bool(options.vllm_args),
    }
    for name, is_set in set_here.items():
        if is_set:
            text = f"{name} has no effect on the servers of VLLM_BASE_URL; unset it, and configure them"
            raise SettingsError(text, param=name)
    return RemoteOptions(
        replace(_model_of(options), weights=False),
        options.vllm_urls,
        options.vllm_api_key,
        options.slots or REMOTE_SLOTS * len(options.vllm_urls),
    )


def options_of(options: BackendOptions) -> VllmOptions:
    """Raises SettingsError: a setting that vLLM has no counterpart for."""
    _check_own_engine(options)
    if options.quantize not in ("auto", "none", "fp8"):
        text = f"QUANTIZE={options.quantize} is not supported by the vllm backend; use fp8, or VLLM_ARGS"
        raise SettingsError(text, param="QUANTIZE")
    if ":" in options.device or options.device == "mps":
        text = f"DEVICE={options.device} is not supported by the vllm backend; use DEVICE=auto and CUDA_VISIBLE_DEVICES"
        raise SettingsError(text, param="DEVICE")
    return VllmOptions(
        _model_of(options),
        options.device,
        options.dtype,
        "none" if options.quantize == "auto" else options.quantize,
        options.slots,
        options.gpu_memory_mb,
        options.vllm_sleep_level,
        parse_arguments(options.vllm_args),
    )


def _check_own_engine(options: BackendOptions) -> None:
    """Raises SettingsError: a setting of steno's own engine, which vLLM does not have."""
    for name, path in (("ONNX_ENCODER_PATH", options.onnx_encoder), ("TRT_ENCODER_PATH", options.trt_encoder)):
        if path is not None:
            raise SettingsError(f"{name} is not supported by the vllm backend; unset it, or USE_VLLM", param=name)
    if options.long_slots is not None:
        text = "LONG_SLOTS is not supported by the vllm backend, whose KV cache has pages; unset it, or USE_VLLM"
        raise SettingsError(text, param="LONG_SLOTS")
    if options.speculative or options.dual:
        name = "DUAL_MODEL" if options.dual else "USE_SPECULATIVE"
        raise SettingsError(f"{name} is not supported by the vllm backend; unset it, or USE_VLLM", param=name)


def _model_of(options: BackendOptions) -> ModelRef:
    model_id = options.model_id or DEFAULT_MODEL
    return ModelRef(model_id, options.revision, options.allowlist, options.hf_home, "recogniser")


def parse_arguments(text: str) -> dict[str, Any]:
    """`VLLM_ARGS`, a JSON object, with names as vLLM's engine arguments spell them.

    Raises:
        SettingsError: it is not a JSON object, or sets what another setting or the backend itself sets.
    """
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise SettingsError(f"VLLM_ARGS is not valid JSON: {error}", param="VLLM_ARGS") from None
    if not isinstance(value, dict):
        raise SettingsError('VLLM_ARGS must be a JSON object like {"max_num_seqs": 64}', param="VLLM_ARGS")
    arguments = {name.lstrip("-").replace("-", "_"): setting for name, setting in value.items()}
    for name, instead in RESERVED.items():
        if name in arguments:
            raise SettingsError(f"VLLM_ARGS cannot set {name}: {instead}", param="VLLM_ARGS")
    return arguments


RESERVED = {
    "model": "use MODEL_ID",
    "revision": "use MODEL_REVISION",
    "tokenizer": "the checkpoint's own is needed",
    "enable_mm_embeds": "the backend sends features",
    "enable_sleep_mode": "use VLLM_SLEEP_LEVEL",
    "scheduling_policy": "the backend needs priorities",
    "skip_tokenizer_init": "the backend needs the tokenizer",
}
"""Arguments that have a setting of their own, or that the backend depends on."""
