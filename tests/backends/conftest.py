from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steno.audio.decode import decode

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
