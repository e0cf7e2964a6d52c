"""Which models to load, where they run, and with how many slots. Light to import: a backend exists before it loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from steno.backends.qwen.checkpoint.model_source import (
    DEFAULT_ALLOWLIST,
    DEFAULT_MODEL,
    LARGE_MODEL,
    SMALL_MODEL,
    ModelRef,
)
from steno.backends.qwen.encoders.encoder_file import EncoderRef
from steno.backends.qwen.model.slot_classes import SlotCounts

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.folder import Kind
    from steno.backends.registry import BackendOptions

CascadeName: TypeAlias = Literal["standard", "speculative", "dual"]
"""See `batching.cascade`."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Which checkpoint to load, and where it runs."""

    model_id: str
    """A local folder, or a model id of the Hugging Face hub."""
    revision: str | None = None
    allowlist: tuple[str, ...] = DEFAULT_ALLOWLIST
    device: str = "auto"
    dtype: str = "auto"
    hf_home: Path | None = None
    quantize: str = "none"
    """`auto`, `none`, `int8` or `fp8`; applies to recognisers only."""

    def model_ref(self, kind: Kind | None) -> ModelRef:
        """The checkpoint to resolve. `kind`: what it must be; None = either."""
        return ModelRef(self.model_id, self.revision, self.allowlist, self.hf_home, kind)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How a loaded recogniser runs."""

    slots: int
    """Max requests in the KV cache; reduced where memory does not suffice."""
    incremental: bool = True
    """Whether a live utterance's steps reuse cached state; if not, each starts from nothing."""
    long_slots: int | None = None
    """How many of `slots` have the length of the longest utterance; None = all."""
    fast: LoadOptions | None = None
    """The draft model; None = one model."""
    path: CascadeName = "standard"
    gpu_memory_mb: int | None = None
    """GPU memory for weights and slots together; None = most of what is free."""
    cuda_graphs: bool = False
    """Whether decoding steps are captured as CUDA graphs; CUDA only."""
    encoder: EncoderRef | None = None
    """The file of the target model's encoder; None = torch. A draft model's encoder runs on torch."""

    @property
    def slot_counts(self) -> SlotCounts:
        long = self.slots if self.long_slots is None else min(self.long_slots, self.slots)
        return SlotCounts(self.slots, long)


class Checkpoints(NamedTuple):
    """The models of one recogniser."""

    model: LoadOptions
    fast: LoadOptions | None


def checkpoints_of(options: BackendOptions) -> Checkpoints:
    placement = (options.allowlist, options.device, options.dtype, options.hf_home)
    is_alone = cascade_of(options) == "standard"
    default = DEFAULT_MODEL if is_alone else LARGE_MODEL
    return Checkpoints(
        LoadOptions(options.model_id or default, options.revision, *placement, options.quantize),
        None if is_alone else LoadOptions(options.fast_model_id or SMALL_MODEL, None, *placement, options.quantize),
    )


def aligner_of(options: BackendOptions, default_id: str) -> LoadOptions:
    """The forced aligner's checkpoint. It runs on the recogniser's device."""
    return LoadOptions(
        options.aligner_id or default_id, None, options.allowlist, options.device, options.dtype, options.hf_home
    )


def encoder_of(options: BackendOptions) -> EncoderRef | None:
    """The file of the encoder, if a setting names one."""
    if options.onnx_encoder is not None:
        return EncoderRef(options.onnx_encoder, "onnxruntime")
    return EncoderRef(options.trt_encoder, "tensorrt") if options.trt_encoder is not None else None


def cascade_of(options: BackendOptions) -> CascadeName:
    return "dual" if options.dual else "speculative" if options.speculative else "standard"
