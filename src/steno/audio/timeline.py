"""Positions of decoded frames in time; gaps become silence."""

from __future__ import annotations

MIN_GAP_S = 0.1
"""Smaller differences are jitter (containers round to milliseconds); `aresample=async` uses the same threshold."""

MAX_GAP_S = 600.0
"""A longer gap is treated as a clock jump."""

MAX_SILENCE_S = 3600.0
"""Max total silence of a file, so that a small file cannot become days of silence."""

MAX_STEP_BACK_S = 1.0
"""A larger step back means an appended recording or a clock change."""


class Timeline:
    """Computes the silence before each frame, so that times in the output are times in a player.

    - 0 is the start of the file's earliest track, whatever its timestamps are, as in Chrome and mpv. Audio that starts
      2 s after its video starts at 2 s; audio alone starts at 0.
    - If timestamps run ahead of the samples by `MIN_GAP_S` or more, the difference is filled with silence: packets were
      lost or never recorded. Samples are never dropped to catch up.
    - Implausible timestamps are ignored: beyond `MAX_GAP_S` for one gap, `MAX_SILENCE_S` in total, or
      `MAX_STEP_BACK_S` backwards, the frame follows the one before it, and times continue from there.
    """

    def __init__(self, origin_s: float | None) -> None:
        self._shift_s = None if origin_s is None else -origin_s
        self._expected_s = origin_s
        self._position_s = 0.0
        self._silence_s = 0.0
        self.jumps = 0
        """How often timestamps were ignored."""

    def silence_before(self, start_s: float | None, duration_s: float) -> float:
        """Seconds of silence before a frame of `duration_s` that claims to start at `start_s`."""
        silence_s = 0.0 if start_s is None else self._gap_before(start_s)
        self._silence_s += silence_s
        self._position_s += silence_s + duration_s
        if start_s is not None:
            self._expected_s = start_s + duration_s
        elif self._expected_s is not None:
            self._expected_s += duration_s
        return silence_s

    def _gap_before(self, start_s: float) -> float:
        if self._shift_s is None or self._expected_s is None:
            self._shift_s, self._expected_s = self._position_s - start_s, start_s
        gap_s = start_s + self._shift_s - self._position_s
        goes_back = start_s < self._expected_s - MAX_STEP_BACK_S
        if goes_back or gap_s > MAX_GAP_S or self._silence_s + gap_s > MAX_SILENCE_S:
            self._shift_s = self._position_s - start_s
            self.jumps += 1
            return 0.0
        return gap_s if gap_s >= MIN_GAP_S else 0.0
