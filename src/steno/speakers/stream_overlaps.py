"""Where several people speak at once in a stream: `overlap_detector` on its last 10 s, while its audio comes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from steno.speakers.overlap_detector import CHUNK, STEP, overlap_detector
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

MARGIN = SAMPLE_RATE // 2
"""What was heard last is read once more is known of what follows, except at the end of a segment."""
PART = STEP // 2
"""Audio is taken in parts of this length, so that what is not read yet is kept."""
MAX_OVERLAPS = 400
"""Stretches that are kept for finals to come."""


class StreamOverlaps:
    """Reads a stream at the end of each segment, and each 5 s of a long one: 41 ms of CPU each time.

    Keeps at most 10 s of audio beside what is fed. `offset_s`: time of the first sample.
    """

    def __init__(self, offset_s: float = 0.0) -> None:
        self._detector = overlap_detector()
        self._offset_s = offset_s
        self._audio: Audio = np.zeros(0, np.float32)
        self._end = self._read_until = self._voiced_until = 0
        """Positions, from the start of the stream: end of the audio, of what was read, and of the last part with
        speech."""
        self._found: deque[tuple[float, float]] = deque(maxlen=MAX_OVERLAPS)

    def feed(self, audio: Audio, begin: int, *, is_voiced: bool) -> None:
        """Take the next audio, which begins at position `begin`. `is_voiced`: whether there is speech in it."""
        if begin != self._end:
            self._audio, self._read_until = audio[:0], begin
        for first in range(0, len(audio), PART):
            part = audio[first : first + PART]
            self._audio = np.concatenate([self._audio, part])[-CHUNK:]
            self._end = begin + first + len(part)
            self._voiced_until = self._end if is_voiced else self._voiced_until
            if self._end - self._read_until >= STEP + MARGIN:
                self._read(self._end - MARGIN)

    def end_segment(self, end_s: float) -> None:
        """A segment ends here, whose audio was fed."""
        self._read(min(round((end_s - self._offset_s) * SAMPLE_RATE), self._end))

    def between(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """The stretches between two times, clipped to them, in order."""
        clipped = ((max(start_s, begin), min(end_s, end)) for begin, end in self._found)
        return [(begin, end) for begin, end in clipped if begin < end]

    def forget_before(self, time_s: float) -> None:
        """No final will ask for earlier speech."""
        while self._found and self._found[0][1] <= time_s:
            self._found.popleft()

    def _read(self, until: int) -> None:
        """Find the stretches from `_read_until` on."""
        if until <= self._read_until:
            return
        if self._voiced_until > self._read_until:
            first_s = self._offset_s + (self._end - len(self._audio)) / SAMPLE_RATE
            start_s, end_s = (self._offset_s + position / SAMPLE_RATE for position in (self._read_until, until))
            for begin, end in self._detector.overlaps(self._audio):
                begin_s, stop_s = max(first_s + begin, start_s), min(first_s + end, end_s)
                if begin_s < stop_s:
                    self._found.append((begin_s, stop_s))
        self._read_until = until
