"""Cuts the speech of a stream into windows while its audio comes: those of `voice_windows`, and their regions."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.speakers.voice_windows import HOP_S, MAX_GAP_S, WINDOW
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

HOP, MAX_GAP = round(HOP_S * SAMPLE_RATE), round(MAX_GAP_S * SAMPLE_RATE)
MAX_REGIONS = 400
"""Regions that are kept for finals to come: more than a minute and a half of speech has."""
MAX_ENDS = 64
"""Ends of segments that are known before their audio is fed."""


class StreamWindows:
    """The windows of one stream: one each `HOP_S` of a region of speech, and one that ends where the region does.
    A region ends after speech, and where a segment ends: the windows of a segment hear nothing of the next.

    Keeps at most a window and a hop of audio beside what is fed. `offset_s`: time of the first sample.
    """

    def __init__(self, offset_s: float = 0.0) -> None:
        self._offset_s = offset_s
        self._audio: Audio = np.zeros(0, np.float32)
        self._begin = 0
        """Position of the first kept sample, from the start of the stream."""
        self._start: int | None = None
        """Start of the open region; None in silence."""
        self._next = self._voiced_until = self._covered_until = 0
        """Start of the next window; end of the speech; end of the last window."""
        self._regions: deque[tuple[float, float]] = deque(maxlen=MAX_REGIONS)
        self._ends: deque[int] = deque(maxlen=MAX_ENDS)
        """Ends of segments that the frames to come reach."""
        self._cut: list[tuple[int, int]] = []

    def feed(
        self, audio: Audio, begin: int, voiced: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Take the next frames; return the windows that they complete, as `windows_of` does.

        Args:
            audio: frames of equal length, shape [samples].
            begin: position of its first sample. After a gap, which is not speech, a new region begins.
            voiced: whether each frame is speech, shape [frames].
        """
        windows: list[Audio] = []
        if begin != self._begin + len(self._audio):
            self._close(windows)
            self._audio, self._begin = audio, begin
        else:
            self._audio = np.concatenate([self._audio, audio])
        frame = len(audio) // max(len(voiced), 1)
        for n, is_voiced in enumerate(voiced.tolist()):
            self._step(begin + n * frame, frame, is_voiced, windows)
        self._trim()
        return self._taken(windows)

    def end_segment(self, end_s: float) -> None:
        """A segment ends here: the region ends once frames reach it, or with the next ones if they have."""
        self._ends.append(self._position(end_s))

    def close_segment(self, end_s: float) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """The window that ends where a segment does, whose audio was fed; none if its region has ended."""
        windows: list[Audio] = []
        self._divide(self._position(end_s), windows)
        return self._taken(windows)

    def regions(self, start_s: float, end_s: float) -> list[tuple[float, float]]:
        """Speech between two times, clipped to them."""
        found = [*self._regions, *([self._region(self._start)] if self._start is not None else [])]
        clipped = [(max(start_s, begin), min(end_s, end)) for begin, end in found]
        return [(begin, end) for begin, end in clipped if begin < end]

    def forget_before(self, time_s: float) -> None:
        """No final will ask for earlier speech."""
        while self._regions and self._regions[0][1] <= time_s:
            self._regions.popleft()

    def _step(self, at: int, frame: int, is_voiced: bool, windows: list[Audio]) -> None:
        while self._ends and self._ends[0] <= at:
            self._divide(self._ends.popleft(), windows)
        if not is_voiced:
            if self._start is not None and at + frame - self._voiced_until >= MAX_GAP:
                self._close(windows)
            return
        if self._start is None:
            self._start = self._next = self._covered_until = at
        self._voiced_until = at + frame
        while self._next + WINDOW <= self._voiced_until:
            self._take(self._next, self._next + WINDOW, windows)
            self._next += HOP

    def _close(self, windows: list[Audio]) -> None:
        if self._start is not None:
            self._cover_tail(windows)
            self._regions.append(self._region(self._start))
            self._start = None

    def _divide(self, end: int, windows: list[Audio]) -> None:
        """End the open region at a position; speech after it, if it was fed, is a new one."""
        if self._start is None or end <= self._start:
            return
        voiced_until = self._voiced_until
        self._voiced_until = min(voiced_until, end)
        self._close(windows)
        if end < voiced_until:
            self._start, self._voiced_until = end, voiced_until
            if self._next - HOP < end:  # no window begins in the new region yet
                self._covered_until = end
            self._next = max(self._next, end)

    def _cover_tail(self, windows: list[Audio]) -> None:
        if self._start is not None and self._covered_until < self._voiced_until:
            first = max(self._start, self._voiced_until - WINDOW, self._begin)
            if first < self._voiced_until:  # less than a hop that ends late may be kept no more
                self._take(first, self._voiced_until, windows)

    def _take(self, first: int, last: int, windows: list[Audio]) -> None:
        windows.append(np.resize(self._audio[first - self._begin : last - self._begin], WINDOW))
        self._cut.append((first, last))
        self._covered_until = last

    def _taken(self, windows: list[Audio]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        extents, self._cut = self._cut, []
        if not windows:
            return np.zeros((0, WINDOW), np.float32), np.zeros((0, 2))
        return np.stack(windows), np.array(extents) / SAMPLE_RATE + self._offset_s

    def _position(self, time_s: float) -> int:
        return round((time_s - self._offset_s) * SAMPLE_RATE)

    def _region(self, start: int) -> tuple[float, float]:
        return self._offset_s + start / SAMPLE_RATE, self._offset_s + self._voiced_until / SAMPLE_RATE

    def _trim(self) -> None:
        end = self._begin + len(self._audio)
        needed = end if self._start is None else min(self._next, max(self._start, self._voiced_until - WINDOW))
        self._audio = self._audio[needed - self._begin :].copy()
        self._begin = needed
