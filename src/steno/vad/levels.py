"""Levels of frames, and the quietest place to cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.types import Audio

FLOOR_DBFS = -120.0
"""The lowest level that is reported."""


def frame_levels(audio: Audio) -> NDArray[np.float32]:
    """RMS level of each whole frame of `audio` in dBFS (0 = a square wave at full scale), shape [frames]."""
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.einsum("ij,ij->i", frames, frames) / FRAME
    levels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10)))
    return levels.astype(np.float32)


def quietest(probabilities: NDArray[np.float32], levels: NDArray[np.float32]) -> int:
    """The frame with the least speech within 96 ms, and among equals the lowest level.

    Probabilities are rounded to tenths: within fluent speech they are all near 1, and the level decides. Neighbours
    count because the closure before a "t" is silent but not a place to cut.
    """
    rank = np.round(probabilities, 1) * 1000 + levels
    padded = np.pad(rank, 1, mode="edge")
    return int(np.argmin(np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])))
