"""Probability → speech or not: the decision that live streams and files share."""

from __future__ import annotations


class SpeechGate:
    """Opens at `threshold`, closes below `release`, and stays shut for what is shorter than `min_frames`.

    So a decision may have to wait for up to `min_frames` − 1 later frames; decisions come in the order of the frames.
    """

    def __init__(self, threshold: float, release: float, min_frames: int) -> None:
        self.configure(threshold, release, min_frames)
        self._open = False
        self._waiting = 0

    def configure(self, threshold: float, release: float, min_frames: int) -> None:
        """Decide by other values from the next frame on."""
        self._threshold = threshold
        self._release = release
        self._min_frames = min_frames

    def feed(self, probability: float) -> list[bool]:
        """Decide on as many frames as can be decided now, oldest first. True = speech."""
        if self._open:
            self._open = probability >= self._release
            return [self._open]
        if probability >= (self._release if self._waiting else self._threshold):
            self._waiting += 1
            if self._waiting < self._min_frames:
                return []
            self._open = True
            return [True] * self._take_waiting()
        return [False] * (self._take_waiting() + 1)

    def flush(self) -> list[bool]:
        """The stream ends here: what is undecided was too short. Shut again."""
        self._open = False
        return [False] * self._take_waiting()

    def _take_waiting(self) -> int:
        waiting, self._waiting = self._waiting, 0
        return waiting
