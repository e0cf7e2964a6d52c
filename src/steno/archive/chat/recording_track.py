"""What the estimation of a chat's clock knows of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steno.types import Word


@dataclass(frozen=True, slots=True)
class RecordingTrack:
    """Levels and words of a recording; no audio."""

    duration_s: float
    frame_s: float
    """Length of a frame of `activity` and `loudness_db`."""
    activity: NDArray[np.floating]
    """Share of speech in each frame, 0 to 1."""
    loudness_db: NDArray[np.floating]
    words: Sequence[Word]
    language: str | None = None

    def in_bins(self, step_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Activity and loudness as means of bins of `step_s`; the end is filled with silence."""
        bins = int(np.ceil(self.duration_s / step_s))
        place = np.minimum((np.arange(len(self.activity)) * self.frame_s / step_s).astype(np.int64), bins - 1)
        frames = np.maximum(np.bincount(place, minlength=bins), 1)
        quiet = float(np.min(self.loudness_db, initial=0.0))
        activity = np.bincount(place, self.activity, minlength=bins) / frames
        loudness = np.bincount(place, self.loudness_db, minlength=bins) / frames
        loudness[np.bincount(place, minlength=bins) == 0] = quiet
        return activity, loudness
