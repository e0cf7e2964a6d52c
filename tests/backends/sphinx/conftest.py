from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steno.audio.decode import decode
from steno.backends.sphinx.backend import SphinxBackend

if TYPE_CHECKING:
    from steno.types import Audio


@pytest.fixture(scope="session")
def recording(fixtures: Path) -> Callable[[str], Audio]:
    """Its audio, by the name of the file."""
    kept: dict[str, Audio] = {}

    def read(name: str) -> Audio:
        if name not in kept:
            kept[name] = np.concatenate(list(decode(fixtures / name, max_seconds=None)))
        return kept[name]

    return read


@pytest.fixture
async def backend() -> AsyncIterator[SphinxBackend]:
    """Loaded, with two places."""
    backend = SphinxBackend(workers=1, live_workers=1)
    await backend.load(lambda part, doing: None)
    yield backend
    await backend.unload()
