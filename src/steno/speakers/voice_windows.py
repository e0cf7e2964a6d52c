"""Cuts speech into the windows that are embedded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

WINDOW_S, HOP_S = 1.5, 0.375
"""A window long enough to know a voice by, and short enough to lie in one turn; four windows hear each moment."""
WHOLE_SHARE = 0.6
"""A window with less speech than this, or less of one speaker alone, has no part in finding the speakers."""
MAX_GAP_S = 0.3
"""A shorter pause does not divide speech: windows reach across it."""

WINDOW = round(WINDOW_S * SAMPLE_RATE)


def voiced_regions(voiced: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Detected speech, in seconds, with its short pauses closed."""
    regions: list[tuple[float, float]] = []
    for start_s, end_s in voiced:
        if regions and start_s - regions[-1][1] < MAX_GAP_S:
            regions[-1] = (regions[-1][0], end_s)
        else:
            regions.append((start_s, end_s))
    return regions


def windows_of(
    audio: Audio, start_s: float, regions: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Windows of the speech in `audio`, which begins at `start_s`: samples, shape [windows, samples], and start and end
    of what each hears, shape [windows, 2], in seconds. A region shorter than a window is repeated to fill it."""
    windows: list[Audio] = []
    extents: list[tuple[float, float]] = []
    for region_start_s, region_end_s in regions:
        begin = max(0, round((region_start_s - start_s) * SAMPLE_RATE))
        end = min(len(audio), round((region_end_s - start_s) * SAMPLE_RATE))
        for first in _starts(begin, end):
            last = min(first + WINDOW, end)
            windows.append(np.resize(audio[first:last], WINDOW))
            extents.append((start_s + first / SAMPLE_RATE, start_s + last / SAMPLE_RATE))
    if not windows:
        return np.zeros((0, WINDOW), np.float32), np.zeros((0, 2))
    return np.stack(windows), np.array(extents)


def _starts(begin: int, end: int) -> Sequence[int]:
    """Evenly spread, at most a hop apart; none in an empty region."""
    if end - begin <= WINDOW:
        return [begin] if end > begin else []
    count = int(np.ceil((end - begin - WINDOW) / (HOP_S * SAMPLE_RATE))) + 1
    starts: list[int] = np.linspace(begin, end - WINDOW, count).astype(int).tolist()
    return starts
