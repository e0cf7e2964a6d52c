"""The part of a stream's audio that may still be needed, addressed by samples from the stream's beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

GROWTH = 4 * SAMPLE_RATE
SLACK = SAMPLE_RATE
"""What is no longer needed goes once it is this much."""


class Tape:
    """Append at one end, forget at the other. What `between` gave out stays as it was."""

    def __init__(self) -> None:
        self._buffer: Audio = np.empty(0, np.float32)
        self._begin = 0
        self._length = 0

    @property
    def end(self) -> int:
        return self._begin + self._length

    def append(self, audio: Audio) -> None:
        length = self._length + len(audio)
        if length > len(self._buffer):
            self._buffer = self._moved(self._buffer[: self._length], length + GROWTH)
        self._buffer[self._length : length] = audio
        self._length = length

    def between(self, start: int, end: int) -> Audio:
        """Samples [start, end): a view, of memory that is never written again."""
        return self._buffer[start - self._begin : end - self._begin]

    def forget_before(self, sample: int) -> None:
        """Nothing earlier will be asked for."""
        gone = sample - self._begin
        if gone < SLACK:
            return
        kept = self._buffer[gone : self._length]
        self._buffer = self._moved(kept, len(kept) + SLACK)
        self._begin, self._length = sample, len(kept)

    @staticmethod
    def _moved(audio: Audio, capacity: int) -> Audio:
        buffer = np.empty(capacity, np.float32)
        buffer[: len(audio)] = audio
        return buffer
