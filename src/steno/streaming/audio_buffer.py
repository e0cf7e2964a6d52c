"""A sliding buffer of the audio that may still be needed, addressed by samples from the start of the stream."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import numpy as np

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

CAPACITY = 32 * SAMPLE_RATE
"""Initial capacity in samples: the longest segment and its surroundings. Unwritten pages take no memory."""
MIN_DROP = SAMPLE_RATE
"""Samples are dropped once at least this many are no longer needed."""


class AudioBuffer:
    """Append at one end, drop at the other. Views returned by `between` stay valid and unchanged.

    The memory is mapped separately and returns to the system once no view refers to it: on the heap, the buffers of two
    hours of speech, of all sizes, left 6 MB of fragmentation (`benchmarks.endurance`).
    """

    def __init__(self) -> None:
        self._buffer = _pages(CAPACITY)
        self._begin = 0
        self._length = 0

    @property
    def end(self) -> int:
        return self._begin + self._length

    def append(self, audio: Audio) -> None:
        length = self._length + len(audio)
        if length > len(self._buffer):
            self._reallocate(0, length + CAPACITY)
        self._buffer[self._length : length] = audio
        self._length = length

    def between(self, start: int, end: int) -> Audio:
        """Samples [start, end), as a view that is never overwritten. Raises `IndexError` for dropped samples."""
        if not self._begin <= start <= end <= self.end:
            raise IndexError(f"the buffer holds samples {self._begin} to {self.end}, not {start} to {end}")
        return self._buffer[start - self._begin : end - self._begin]

    def forget_before(self, sample: int) -> None:
        """Earlier samples are no longer needed."""
        dropped = sample - self._begin
        if dropped >= MIN_DROP:
            self._reallocate(dropped, self._length - dropped + CAPACITY)
            self._begin = sample
            self._length -= dropped

    def _reallocate(self, dropped: int, capacity: int) -> None:
        kept = self._buffer[dropped : self._length]
        self._buffer = _pages(capacity)
        self._buffer[: len(kept)] = kept


def _pages(samples: int) -> Audio:
    return np.frombuffer(mmap.mmap(-1, 4 * samples), np.float32)
