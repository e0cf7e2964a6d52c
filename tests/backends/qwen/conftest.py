from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hollow import write_checkpoint

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint


@pytest.fixture
def hollow(tmp_path: Path) -> Callable[..., Path]:
    """Makes folders that look like checkpoints, with `config` in their config.json."""

    def make(name: str = "model", **config: object) -> Path:
        return write_checkpoint(tmp_path / name, config)

    return make


@pytest.fixture(scope="session")
def loud(checkpoints: Path) -> LoadedCheckpoint:
    """A loaded recogniser with random weights so large that one token differs from the next."""
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions

    loaded = load_recogniser(LoadOptions(str(checkpoints / "recogniser"), device="cpu", dtype="float32"), _silent)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4
    return loaded


@pytest.fixture(scope="session")
def trained() -> LoadedCheckpoint:
    """The checkpoint that has learned to listen."""
    pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions
    from tiny.clips import ASR

    return load_recogniser(LoadOptions(str(ASR), device="cpu", dtype="float32"), _silent)


def _silent(*_: object) -> None:
    return None
