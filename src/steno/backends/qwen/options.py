"""Which model to load, and where: light to import, for a backend is made long before its model is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from steno.backends.qwen.source import DEFAULT_ALLOWLIST


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
