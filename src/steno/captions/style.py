"""Limits of cues: columns, lines, durations, gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CueStyle:
    """Limits of a cue. Raises `ValueError`, which names the field, for invalid values.

    The defaults follow broadcasters and streaming services: Netflix's Timed Text Style Guide has 42
    characters in 2 lines, 5/6 s to 7 s, two frames between cues, and 17 characters a second for children's programmes.
    """

    max_line_chars: int = 42
    """Max columns per line. Ideographs, kana, Hangul and emoji take two: 42 columns are 21 Chinese characters."""
    max_lines: int = 2
    max_cps: float = 17.0
    """Max reading speed in columns per second, including spaces: 8.5 Chinese characters."""
    min_duration_s: float = 0.833
    max_duration_s: float = 7.0
    gap_s: float = 0.083
    """Min gap between two cues, so that the change is visible."""
    pause_s: float = 0.5
    """Silence that ends a cue; shorter gaps between two cues are closed up to `gap_s`."""

    def __post_init__(self) -> None:
        for name, minimum in (("max_line_chars", 2), ("max_lines", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be {minimum} or more, got {getattr(self, name)}")
        for name in ("max_cps", "min_duration_s", "max_duration_s", "pause_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.gap_s < math.inf:
            raise ValueError(f"gap_s must be 0 or more, got {self.gap_s}")
        if not self.min_duration_s <= self.max_duration_s:
            raise ValueError(
                f"min_duration_s ({self.min_duration_s}) must be at most max_duration_s ({self.max_duration_s})"
            )
