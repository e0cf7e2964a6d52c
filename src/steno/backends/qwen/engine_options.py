"""Which models to load, and where: light to import, for a backend is made long before its model is loaded."""

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

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.folder import Kind
    from steno.backends.registry import BackendOptions

PathName: TypeAlias = Literal["standard", "speculative", "dual"]
"""See `paths`."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Which model, and where to run it."""

    model_id: str
    """A folder, or a name on Hugging Face."""
    revision: str | None = None
    allowlist: tuple[str, ...] = DEFAULT_ALLOWLIST
    device: str = "auto"
    dtype: str = "auto"
    hf_home: Path | None = None
    quantize: str = "none"
    """`none` or `int8`; the recogniser's alone."""

    def wanted(self, kind: Kind | None) -> ModelRef:
        """What is to be found. `kind`: what it must be; None = either."""
        return ModelRef(self.model_id, self.revision, self.allowlist, self.hf_home, kind)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How it runs."""

    slots: int
    """Pieces decoded together; fewer where there is no room for so many."""
    incremental: bool = True
    """Whether a live utterance's steps use what was computed for those before; if not, each starts from nothing."""
    fast: LoadOptions | None = None
    """The small model, where there are two."""
    path: PathName = "standard"
    gpu_memory_mb: int | None = None
    """For weights and slots together; None = most of what is free."""
    cuda_graphs: bool = False
    """Whether decoding iterations are captured; on CUDA."""


class Checkpoints(NamedTuple):
    """The models of one recogniser."""

    model: LoadOptions
    fast: LoadOptions | None


def checkpoints_of(options: BackendOptions) -> Checkpoints:
    where = (options.allowlist, options.device, options.dtype, options.hf_home)
    is_alone = path_of(options) == "standard"
    default = DEFAULT_MODEL if is_alone else LARGE_MODEL
    return Checkpoints(
        LoadOptions(options.model_id or default, options.revision, *where, options.quantize),
        None if is_alone else LoadOptions(options.fast_model_id or SMALL_MODEL, None, *where, options.quantize),
    )


def aligner_of(options: BackendOptions, default_id: str) -> LoadOptions:
    """The forced aligner's checkpoint, and where it runs: where the recogniser does."""
    return LoadOptions(
        options.aligner_id or default_id, None, options.allowlist, options.device, options.dtype, options.hf_home
    )


def path_of(options: BackendOptions) -> PathName:
    return "dual" if options.dual else "speculative" if options.speculative else "standard"
