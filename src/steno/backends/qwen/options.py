"""Which model to load, and where: light to import, for a backend is made long before its model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from steno.backends.qwen.source import DEFAULT_ALLOWLIST

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
