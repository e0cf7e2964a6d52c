"""Cuts a file into pieces for a recogniser that takes at most `max_s`, by VAD probabilities and levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig, frames_of
from steno.vad.levels import quietest
from steno.vad.silero import FRAME
from steno.vad.speech_gate import SpeechGate

PieceReason: TypeAlias = Literal["pause", "cut", "silence", "flush"]


@dataclass(frozen=True, slots=True)
class SpeechPiece:
    """Samples [start, end) for the recogniser.

    `reason`, why it ends: `pause` (speech starts after a long pause), `cut` (maximum length), `silence` (digital
    silence follows), `flush` (end of the file). `voiced`: the first and the last sample that VAD detects as speech.
    `voiced_frames`: how many of its frames VAD detects as speech. `voiced_runs`: the samples of each unbroken run.
    """

    start: int
    end: int
    reason: PieceReason
    voiced: tuple[int, int] | None
    voiced_frames: int = 0
    voiced_runs: tuple[tuple[int, int], ...] = field(default=(), compare=False)

    @property
    def has_speech(self) -> bool:
        return self.voiced is not None


@dataclass(frozen=True, slots=True)
class DroppedSilence:
    """Samples [start, end) of digital silence."""

    start: int
    end: int


class FileCutter:
    """Cuts a file into pieces.

    1. `SpeechPiece` and `DroppedSilence` tile the file: in order, none empty, every sample in exactly one; no piece is
       longer than `max_s`. VAD decides where to cut, never what to keep: music, singing and whispers stay.
    2. Digital silence (below `drop_below_dbfs` and not voiced) of `drop_after_s` is dropped, except `pre_roll_ms` at
       each end next to other audio.
    3. After `pause_s` without voice, the piece ends `pre_roll_ms` before the voice returns, so that the next one starts
       with speech. An unvoiced part of `apart_s` or more becomes its own piece; a shorter one stays with the speech
       before it, or at the start of the file with the speech after it.
    4. At `max_s`, the piece is cut in the middle of the longest pause from `search_from_s` on, of `cut_silence_ms` at
       least; without one, where it is quietest.

    Works on whole frames. The caller slices the audio, and keeps it from `settled` on: little more than `max_s`. The
    pieces do not depend on how the frames are split between calls. Not thread-safe.
    """

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        config = config or SegmenterConfig()
        self._gate = SpeechGate(config.threshold, config.release, frames_of(config.min_speech_ms / 1000))
        self._drop_below_dbfs = config.drop_below_dbfs
        self._margin = frames_of(config.pre_roll_ms / 1000) if config.pre_roll_ms else 0
        self._drop_frames = max(frames_of(config.drop_after_s), 2 * self._margin + 1)
        self._pause_frames = frames_of(config.pause_s)
        self._apart_frames = frames_of(config.apart_s)
        self._cut_silence_frames = frames_of(config.cut_silence_ms / 1000)
        self._max_frames = int(config.max_s * SAMPLE_RATE) // FRAME
        self._search_from = min(frames_of(config.search_from_s), self._max_frames - 1)
        self._undecided: list[tuple[float, float]] = []
        self._start = 0
        """The first frame of the open piece."""
        self._frames: list[tuple[bool, float, float]] = []
        """(voiced, probability, level) of the open piece's frames."""
        self._unvoiced = 0
        """Number of unvoiced frames at the end."""
        self._silent = 0
        """Number of frames of digital silence at the end."""
        self._dropping = False

    @property
    def settled(self) -> int:
        """No later piece starts before this sample."""
        if self._dropping:
            return (self._start + max(0, len(self._frames) - self._margin)) * FRAME
        return self._start * FRAME

    def feed(
        self, probabilities: NDArray[np.float32], levels: NDArray[np.float32]
    ) -> list[SpeechPiece | DroppedSilence]:
        """Take the next frames of `FRAME` samples: probabilities and levels in dBFS (`frame_levels`)."""
        out: list[SpeechPiece | DroppedSilence] = []
        for probability, level in zip(probabilities.tolist(), levels.tolist(), strict=True):
            self._undecided.append((probability, level))
            for is_voiced in self._gate.feed(probability):
                self._step(is_voiced, *self._undecided.pop(0), out)
        return out

    def flush(self, end: int | None = None) -> list[SpeechPiece | DroppedSilence]:
        """Finish the file. `end`: its length in samples, if its last frame was partial and not fed."""
        out: list[SpeechPiece | DroppedSilence] = []
        for is_voiced in self._gate.flush():
            self._step(is_voiced, *self._undecided.pop(0), out)
        fed = (self._start + len(self._frames)) * FRAME
        end = fed if end is None else end
        if not fed <= end < fed + FRAME:
            raise ValueError(f"{fed} samples were fed; the file's end must lie less than a frame further, got {end}")
        if self._dropping:
            self._drop(len(self._frames), out, end)
        else:
            self._emit(len(self._frames), "flush", out, end)
        return out

    def _step(self, is_voiced: bool, probability: float, level: float, out: list[SpeechPiece | DroppedSilence]) -> None:
        is_silent = not is_voiced and level < self._drop_below_dbfs
        if self._dropping and (not is_silent or len(self._frames) >= self._max_frames):
            self._drop(len(self._frames) - self._margin, out)
            self._dropping = is_silent
        if is_voiced and self._unvoiced >= self._pause_frames:
            self._end_before_speech(out)
        self._frames.append((is_voiced, probability, level))
        self._unvoiced = 0 if is_voiced else self._unvoiced + 1
        self._silent = self._silent + 1 if is_silent else 0
        if not self._dropping and self._silent >= self._drop_frames:
            self._start_dropping(out)
        if not self._dropping and len(self._frames) >= self._max_frames:
            self._emit(self._best_cut(), "cut", out)

    def _start_dropping(self, out: list[SpeechPiece | DroppedSilence]) -> None:
        before = len(self._frames) - self._silent
        if before > 0:
            self._emit(before + self._margin, "silence", out)
        self._dropping = True

    def _drop(self, count: int, out: list[SpeechPiece | DroppedSilence], end: int | None = None) -> None:
        first = self._start * FRAME
        end = first + count * FRAME if end is None else end
        if end > first:
            out.append(DroppedSilence(first, end))
            self._advance(count)

    def _end_before_speech(self, out: list[SpeechPiece | DroppedSilence]) -> None:
        """The next frame is voiced, after a long pause."""
        begin = len(self._frames) - self._margin
        pause = len(self._frames) - self._unvoiced
        has_speech = any(frame[0] for frame in self._frames)
        pause = pause + self._margin if has_speech else 0
        is_apart = begin - pause >= self._apart_frames
        if has_speech and is_apart:
            self._emit(pause, "pause", out)
            begin -= pause
        if has_speech or is_apart:
            self._emit(begin, "pause", out)

    def _best_cut(self) -> int:
        """Where to cut the open piece, which has reached its maximum length, in frames."""
        window = self._frames[self._search_from :]
        voiced = np.array([True, *(frame[0] for frame in window), True])
        edges = np.flatnonzero(np.diff(voiced.astype(np.int8)))
        starts, ends = edges[::2], edges[1::2]
        if len(starts) and (ends - starts).max() >= self._cut_silence_frames:
            longest = np.argmax(ends - starts)
            return self._search_from + max(1, int(starts[longest] + ends[longest]) // 2)
        probabilities, levels = (np.array([frame[i] for frame in window], np.float32) for i in (1, 2))
        return self._search_from + max(1, quietest(probabilities, levels))

    def _emit(
        self, count: int, reason: PieceReason, out: list[SpeechPiece | DroppedSilence], end: int | None = None
    ) -> None:
        """Close the open piece after `count` frames; the rest starts the next one."""
        first = self._start * FRAME
        end = first + count * FRAME if end is None else end
        if end <= first:
            return
        voiced = [i for i, frame in enumerate(self._frames[:count]) if frame[0]]
        voiced_span = (first + voiced[0] * FRAME, first + (voiced[-1] + 1) * FRAME) if voiced else None
        runs = tuple((first + begin * FRAME, first + stop * FRAME) for begin, stop in _runs(voiced))
        out.append(SpeechPiece(first, end, reason, voiced_span, len(voiced), runs))
        self._advance(count)

    def _advance(self, count: int) -> None:
        self._start += count
        del self._frames[:count]


def _runs(frames: list[int]) -> list[tuple[int, int]]:
    """Start and end of each run of consecutive numbers."""
    if not frames:
        return []
    breaks = [n for n, (one, following) in enumerate(pairwise(frames), 1) if following != one + 1]
    return [(frames[begin], frames[stop - 1] + 1) for begin, stop in pairwise([0, *breaks, len(frames)])]
