from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from steno.audio.decode import decode
from steno.backends.moonshine import files, installed
from steno.backends.moonshine.backend import MoonshineBackend
from steno.backends.moonshine.model import MoonshineModel
from steno.backends.moonshine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from steno.types import Audio


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The folder of the weights in the installed wheel."""
    folder = installed.wheel_folder()
    if folder is None:
        pytest.skip("Moonshine's weights are in moonshine-voice==0.1.0: pip install 'steno[moonshine]'")
    return folder


@pytest.fixture(scope="session")
def model(wheel: Path) -> MoonshineModel:
    return MoonshineModel(files.find(None, wheel))


@pytest.fixture(scope="session")
def vocabulary(wheel: Path) -> Vocabulary:
    return Vocabulary.load(wheel / "tokenizer.bin")


@pytest.fixture(scope="session")
def speech(wheel: Path) -> dict[str, Audio]:
    """Real speech from the wheel, by the name of its file."""
    names = ("two_cities", "beckett", "endgame_nagg_nell")
    return {name: np.concatenate(list(decode(wheel.parent / f"{name}.wav", max_seconds=None))) for name in names}


@pytest.fixture(scope="module")
def backend(wheel: Path) -> Iterator[MoonshineBackend]:
    """Loaded, with two threads for uploads and two for live work."""
    backend = MoonshineBackend(workers=2, live_workers=2)
    asyncio.run(backend.load(lambda *_: None))
    yield backend
    asyncio.run(backend.unload())
