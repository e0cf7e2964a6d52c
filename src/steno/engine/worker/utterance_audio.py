"""The audio of live utterances that a worker keeps, so that only new audio travels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

FIRST_S = 8.0
"""Seconds that an utterance's buffer holds at first; it doubles when it is full."""


class UnknownAudioError(Exception):
    """A message builds on audio that was never sent."""


class UtteranceAudio:
    """One utterance's samples. Audio that was handed out is never changed."""

    def __init__(self) -> None:
        self._buffer = np.zeros(int(FIRST_S * SAMPLE_RATE), np.float32)
        self._size = 0

    def extended(self, known: int, new: Audio) -> Audio:
        """Keep the first `known` samples, add `new`, and return all.

        Raises:
            UnknownAudioError: fewer than `known` samples are there.
        """
        if known > self._size:
            raise UnknownAudioError(f"{known} samples of {self._size}")
        size = known + len(new)
        if size > len(self._buffer) or known < self._size:
            buffer = np.zeros(max(2 * len(self._buffer) if size > len(self._buffer) else 0, size), np.float32)
            buffer[:known] = self._buffer[:known]
            self._buffer = buffer
        self._buffer[known:size] = new
        self._size = size
        return self._buffer[:size]


class UtteranceStore:
    """The utterances of one connection, by key."""

    def __init__(self) -> None:
        self._utterances: dict[str, UtteranceAudio] = {}

    def __len__(self) -> int:
        return len(self._utterances)

    def audio(self, key: str | None, known: int, new: Audio, *, is_last: bool) -> Audio:
        """The audio of a job whose message brings `new`. What has no key, or is the last of its utterance, is not kept.

        Raises:
            UnknownAudioError: as `UtteranceAudio.extended`.
        """
        if key is None or (is_last and not known):
            if known:
                raise UnknownAudioError("audio without an utterance")
            if key is not None:
                self.drop(key)
            return new
        utterance = self._utterances.setdefault(key, UtteranceAudio())
        audio = utterance.extended(known, new)
        if is_last:
            self.drop(key)
        return audio

    def drop(self, key: str) -> None:
        self._utterances.pop(key, None)
