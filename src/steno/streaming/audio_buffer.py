"""The part of a stream's audio that may still be needed, addressed by samples from the stream's beginning."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

ROOM = 32 * SAMPLE_RATE
"""For the longest segment and what comes before it is over. Pages that are not written take no memory."""
SLACK = SAMPLE_RATE
"""What is no longer needed goes once it is this much."""


class AudioBuffer:
    """Append at one end, forget at the other. What `between` gave out stays as it was.

    Its memory is mapped for itself and goes back to the system as soon as nobody holds a part of it: from the heap, the
    buffers of two hours of speech, of all sizes, left holes of 6 MB (`benchmarks.endurance`).
    """

    def __init__(self) -> None:
        self._buffer = _pages(ROOM)
        self._begin = 0
        self._length = 0

    @property
    def end(self) -> int:
        return self._begin + self._length

    def append(self, audio: Audio) -> None:
        length = self._length + len(audio)
        if length > len(self._buffer):
            self._move(0, length + ROOM)
        self._buffer[self._length : length] = audio
        self._length = length

    def between(self, start: int, end: int) -> Audio:
        """Samples [start, end): a view, of memory that is never written again. Raises `IndexError` for what is gone."""
        if not self._begin <= start <= end <= self.end:
            raise IndexError(f"the tape holds samples {self._begin} to {self.end}, not {start} to {end}")
        return self._buffer[start - self._begin : end - self._begin]

    def forget_before(self, sample: int) -> None:
        """Nothing earlier will be asked for."""
        gone = sample - self._begin
        if gone >= SLACK:
            self._move(gone, self._length - gone + ROOM)
            self._begin = sample
            self._length -= gone

    def _move(self, gone: int, capacity: int) -> None:
        kept = self._buffer[gone : self._length]
        self._buffer = _pages(capacity)
        self._buffer[: len(kept)] = kept


def _pages(samples: int) -> Audio:
    return np.frombuffer(mmap.mmap(-1, 4 * samples), np.float32)
