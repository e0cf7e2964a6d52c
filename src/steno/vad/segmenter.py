"""Endpointing: a live stream's VAD probabilities → utterances. Sans-IO, frame by frame."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig, frames_of
from steno.vad.levels import quietest
from steno.vad.silero import FRAME
from steno.vad.speech_gate import SpeechGate

SpanReason: TypeAlias = Literal["endpoint", "onset", "cut", "flush"]


@dataclass(frozen=True, slots=True)
class SpeechOnset:
    """An utterance started: its span at sample `start`, its voice at sample `onset`."""

    start: int
    onset: int


@dataclass(frozen=True, slots=True)
class ClosedSpan:
    """A closed span of the stream, samples [start, end).

    `reason`: `endpoint` (silence), `onset` (speech starts), `cut` (maximum length), `flush` (the caller's request).
    `voiced`: the first and the last voiced sample; None in silence.
    `voiced_frames`: number of voiced frames.
    """

    kind: Literal["speech", "silence"]
    start: int
    end: int
    reason: SpanReason
    voiced: tuple[int, int] | None = None
    voiced_frames: int = 0


SegmenterEvent: TypeAlias = SpeechOnset | ClosedSpan


class Segmenter:
    """Partitions a stream into speech and silence.

    1. The spans tile the stream: in order, none empty, none overlapping, none missing, none longer than `max_s`.
    2. Speech starts with the first of `min_speech_ms` voiced frames, and its span `pre_roll_ms` earlier, but never
       before the end of the span before it. `SpeechOnset` is emitted once for each speech span, before it.
    3. It ends after `silence_ms` without voice (`endpoint`).
    4. From `search_from_s` on, a pause of `cut_silence_ms` is enough: if speech continues after it, the span is
       cut there (`cut`), and the next utterance starts there.
    5. At `max_s` it is cut at the quietest frame of the last `cut_room_s`, and the next utterance starts there. Audio
       before `usable` belongs to the open utterance, wherever it will be cut.
    6. A span without voice after such a cut becomes silence.
    7. With `turn_checks_ms` it stops in such a pause, `is_judging`, and takes no further frame before `judge`: a
       complete utterance ends here (`endpoint`); an incomplete one after `max_silence_ms`, not `silence_ms`, of this
       pause; in doubt `silence_ms` decides. `flush` does not wait for a judgement.
    8. Silence is closed when speech starts, and at `max_s` up to `pre_roll_ms` before now (`cut`), because the rest
       may belong to speech.

    The events do not depend on how the frames are split between calls. Not thread-safe.
    """

    def __init__(self, config: SegmenterConfig | None = None) -> None:
        self._is_judging = False
        self._apply_config(config or SegmenterConfig())
        self.reset()

    def configure(self, config: SegmenterConfig) -> None:
        """Change the options from the next frame on. An open span stays open, and settled audio stays settled."""
        self._floor = self.settled
        self._apply_config(config)
        self._gate.configure(config.threshold, config.release, frames_of(config.min_speech_ms / 1000))

    def _apply_config(self, config: SegmenterConfig) -> None:
        self._config = config
        self._pre_roll = round(config.pre_roll_ms / 1000 * SAMPLE_RATE)
        self._silence_frames = frames_of(config.silence_ms / 1000)
        self._cut_silence = frames_of(config.cut_silence_ms / 1000) * FRAME
        self._search_from = round(config.search_from_s * SAMPLE_RATE)
        self._max = round(config.max_s * SAMPLE_RATE)
        self._max_silence_frames = max(self._silence_frames, frames_of(config.max_silence_ms / 1000))
        self._checks = [frames_of(check_ms / 1000) for check_ms in config.turn_checks_ms]
        self._cut_from = max(self._search_from, self._max - round(config.cut_room_s * SAMPLE_RATE))

    def reset(self) -> None:
        """Start a new stream at sample 0."""
        config = self._config
        self._gate = SpeechGate(config.threshold, config.release, frames_of(config.min_speech_ms / 1000))
        self._undecided: list[tuple[float, float]] = []
        self._decided: deque[tuple[bool, float, float]] = deque()
        """Frames that wait for a judgement: whether they are voiced, their probabilities and levels."""
        self._now = 0
        self._floor = 0
        """Audio before this was released under earlier options."""
        self._open(start=0, in_speech=False)

    @property
    def settled(self) -> int:
        """No later span starts before this sample: older audio can be released."""
        if self._in_speech:
            return self._start
        return max(self._start, self._floor, self._now - self._pre_roll)

    @property
    def now(self) -> int:
        """End of the processed audio, in samples."""
        return self._now

    @property
    def usable(self) -> int:
        """The open utterance will not end before this sample."""
        return min(self._start + self._cut_from, self._now, self._voiced_until + self._cut_silence)

    @property
    def is_judging(self) -> bool:
        """Whether frames wait for `judge`: the open utterance paused, and may be complete."""
        return self._is_judging

    @property
    def voiced_until(self) -> int:
        """End of the last voiced frame of the open utterance; its start, if there is none yet."""
        return self._voiced_until if self._in_speech else self._now

    @property
    def voiced_frames(self) -> int:
        """Number of voiced frames of the open utterance."""
        return sum(frame.is_voiced for frame in self._frames)

    def feed(
        self, probabilities: NDArray[np.float32], levels: NDArray[np.float32] | None = None
    ) -> list[SegmenterEvent]:
        """Take the next frames of `FRAME` samples: probabilities and, for better cuts, levels in dBFS."""
        if levels is None:
            levels = np.zeros(len(probabilities), np.float32)
        events: list[SegmenterEvent] = []
        for probability, level in zip(probabilities.tolist(), levels.tolist(), strict=True):
            self._undecided.append((probability, level))
            self._decide(self._gate.feed(probability))
        self._advance(events)
        return events

    def judge(self, is_complete: bool | None) -> list[SegmenterEvent]:
        """Answer `is_judging`, and process the frames that waited. None = unknown."""
        events: list[SegmenterEvent] = []
        if not self._is_judging:
            return events
        self._is_judging = False
        if is_complete:
            self._close(self._now, "endpoint", events)
            self._open(self._now, in_speech=False)
        elif is_complete is not None:
            self._is_incomplete = True
        self._advance(events)
        return events

    def flush(self, end: int | None = None) -> list[SegmenterEvent]:
        """Close the open span; the stream continues in silence from sample `end`.

        `end`: the end of the audio, if its last frame was partial and not fed.
        """
        events: list[SegmenterEvent] = []
        self._decide(self._gate.flush())
        self._is_judging = False
        while self._decided:
            self._advance(events)
            self._is_judging = False
        end = self._now if end is None else end
        if not self._now <= end < self._now + FRAME:
            raise ValueError(f"{self._now} samples were fed; the end must lie less than a frame further, got {end}")
        self._now = end
        self._close(end, "flush", events)
        self._open(end, in_speech=False)
        return events

    def _open(self, start: int, *, in_speech: bool) -> None:
        self._start = start
        self._in_speech = in_speech
        self._onset_emitted = False
        self._unvoiced_frames = 0
        self._is_judging = False
        self._is_incomplete = False
        """Whether the utterance was judged incomplete in this pause."""
        self._next_check = 0
        self._voiced_until = start
        self._frames: list[_Frame] = []
        """Frames of the open utterance so far; empty in silence."""

    def _decide(self, decisions: list[bool]) -> None:
        for is_voiced in decisions:
            self._decided.append((is_voiced, *self._undecided.pop(0)))

    def _advance(self, events: list[SegmenterEvent]) -> None:
        while self._decided and not self._is_judging:
            self._step(*self._decided.popleft(), events)

    def _step(self, is_voiced: bool, probability: float, level: float, events: list[SegmenterEvent]) -> None:
        self._now += FRAME
        if is_voiced and not self._in_speech:
            start = max(self._start, self._floor, self._now - FRAME - self._pre_roll)
            self._close(start, "onset", events)
            self._open(start, in_speech=True)
        if self._in_speech:
            if is_voiced and self._is_after_a_pause():
                self._cut_at(max(self._voiced_until + self._cut_silence, self._now - FRAME - self._pre_roll), events)
            self._add_frame(_Frame(self._now - FRAME, is_voiced, probability, level), events)
            self._end_if_due(events)
        elif self._now + FRAME - self._start > self._max:
            cut = max(self._floor, self._now - self._pre_roll)
            self._close(cut, "cut", events)
            self._open(cut, in_speech=False)

    def _add_frame(self, frame: _Frame, events: list[SegmenterEvent]) -> None:
        self._frames.append(frame)
        self._unvoiced_frames = 0 if frame.is_voiced else self._unvoiced_frames + 1
        if frame.is_voiced:
            self._voiced_until = frame.start + FRAME
            self._is_incomplete, self._next_check = False, 0
        if frame.is_voiced and not self._onset_emitted:
            self._onset_emitted = True
            events.append(SpeechOnset(self._start, frame.start))

    def _end_if_due(self, events: list[SegmenterEvent]) -> None:
        if self._unvoiced_frames >= (self._max_silence_frames if self._is_incomplete else self._silence_frames):
            self._close(self._now, "endpoint", events)
            self._open(self._now, in_speech=False)
        elif self._now - self._start + FRAME > self._max:
            self._cut_at(self._quietest(), events)
        elif self._next_check < len(self._checks) and self._unvoiced_frames >= self._checks[self._next_check]:
            self._next_check += 1
            self._is_judging = self._onset_emitted  # without voice, nothing was said that could be complete

    def _is_after_a_pause(self) -> bool:
        """Whether the utterance is long enough for a cut in this pause, after which speech continues."""
        is_long = self._now - FRAME - self._start >= self._search_from
        return is_long and self._unvoiced_frames * FRAME >= self._cut_silence

    def _quietest(self) -> int:
        choice = [frame for frame in self._frames if frame.start >= self.usable]
        if not choice:
            return self._now
        probabilities = np.array([frame.probability for frame in choice], np.float32)
        levels = np.array([frame.level for frame in choice], np.float32)
        return choice[quietest(probabilities, levels)].start

    def _cut_at(self, cut: int, events: list[SegmenterEvent]) -> None:
        rest = [frame for frame in self._frames if frame.start >= cut]
        self._close(cut, "cut", events)
        self._open(cut, in_speech=True)
        for frame in rest:
            self._add_frame(frame, events)

    def _close(self, end: int, reason: SpanReason, events: list[SegmenterEvent]) -> None:
        if end <= self._start:
            return
        voiced = [frame.start for frame in self._frames if frame.is_voiced and frame.start < end]
        voiced_span = (voiced[0], voiced[-1] + FRAME) if voiced else None
        events.append(
            ClosedSpan("speech" if voiced_span else "silence", self._start, end, reason, voiced_span, len(voiced))
        )


@dataclass(frozen=True, slots=True)
class _Frame:
    start: int
    is_voiced: bool
    probability: float
    level: float
