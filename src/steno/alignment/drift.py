"""Whether aligned lines drift away from what was heard: a growing offset shows that the aligner lost its way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

MIN_LINES = 5
MAX_LINES = 400
"""The slope is computed from at most this many lines, evenly chosen: it needs all pairs of them."""
MAX_DRIFT_S = 0.3
"""A larger drift over the recording is worth a warning."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Offsets of the starts of lines from where their first words were heard."""

    lines: int
    median_ms: float
    ms_per_min: float
    """Median slope of all pairs of lines (Theil-Sen), which single errors do not change."""
    total_ms: float
    """The slope times the time between the first and the last line."""

    @property
    def is_large(self) -> bool:
        return abs(self.total_ms) > 1000 * MAX_DRIFT_S


def drift_of(offsets: Sequence[tuple[float, float]]) -> Drift | None:
    """The drift of (time, offset) pairs, in seconds and in order of time; None if there are too few."""
    if len(offsets) < MIN_LINES:
        return None
    step = -(-len(offsets) // MAX_LINES)
    times, values = np.array(offsets[::step]).T
    one, other = np.triu_indices(len(times), 1)
    apart = times[other] - times[one]
    slopes = (values[other] - values[one])[apart > 0] / apart[apart > 0]
    slope = float(np.median(slopes)) if len(slopes) else 0.0
    return Drift(
        lines=len(offsets),
        median_ms=1000 * median(offset for _, offset in offsets),
        ms_per_min=60_000 * slope,
        total_ms=1000 * slope * (offsets[-1][0] - offsets[0][0]),
    )
