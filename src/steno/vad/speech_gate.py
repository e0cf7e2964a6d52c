"""Speech or not, by probability with hysteresis; shared by live streams and files."""

from __future__ import annotations


class SpeechGate:
    """Opens at `threshold`, closes below `release`, and ignores speech shorter than `min_frames`.

    A decision may therefore need up to `min_frames` − 1 later frames; decisions are returned in frame order.
    """

    def __init__(self, threshold: float, release: float, min_frames: int) -> None:
        self.configure(threshold, release, min_frames)
        self._open = False
        self._undecided = 0

    def configure(self, threshold: float, release: float, min_frames: int) -> None:
        """Change the thresholds from the next frame on."""
        self._threshold = threshold
        self._release = release
        self._min_frames = min_frames

    def feed(self, probability: float) -> list[bool]:
        """The decisions that are possible now, oldest frame first. True = speech."""
        if self._open:
            self._open = probability >= self._release
            return [self._open]
        if probability >= (self._release if self._undecided else self._threshold):
            self._undecided += 1
            if self._undecided < self._min_frames:
                return []
            self._open = True
            return [True] * self._take_undecided()
        return [False] * (self._take_undecided() + 1)

    def flush(self) -> list[bool]:
        """End of the stream: undecided frames were too short for speech. Closes the gate."""
        self._open = False
        return [False] * self._take_undecided()

    def _take_undecided(self) -> int:
        undecided, self._undecided = self._undecided, 0
        return undecided
