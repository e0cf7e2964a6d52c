"""One live stream: audio in, frames out to the VAD, probabilities in, steps out to the recogniser, hypotheses in; and
events out, all along. Nothing here waits, and nothing knows the time: the stream's clock is its audio.

    feed(audio) → frames      observe(probabilities) → events      due() → steps      apply(step, hypothesis) → events

`flush`, `reset`, `configure` and `finish` take effect at the point of the stream where they were called, that is, once
the frames fed before have been observed. However the audio was split, and in whatever order results come, the finals
are the same, in order, and one for each segment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from steno.errors import StenoError
from steno.streaming.audio_buffer import AudioBuffer
from steno.streaming.event_queue import EventQueue, OpenSegment
from steno.streaming.events import AudioProgress, Event, Final, Partial, Reason, Silence, SpeechEnded, SpeechStarted
from steno.streaming.hypothesis import LocalAgreement, StableHypothesis
from steno.types import SAMPLE_RATE, Hypothesis, Word
from steno.vad import segmenter as vad
from steno.vad.config import SegmenterConfig
from steno.vad.segmenter import Segmenter
from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.types import Audio


@dataclass(frozen=True, slots=True)
class SessionConfig:
    segmenter: SegmenterConfig = field(default_factory=SegmenterConfig)
    step_s: float = 0.48
    """New audio that makes the next partial due."""
    hold_s: float = 1.0
    """See `LocalAgreement`."""
    offset_s: float = 0.0
    """What the stream's clock shows at its first sample."""


@dataclass(frozen=True, slots=True, eq=False)
class StepRequest:
    """Audio that is to be recognised now: all of a segment so far, or (`final`) all of it."""

    segment_id: int
    audio: Audio
    end: int
    """Where it ends, in samples from the stream's beginning."""
    final: bool
    stable: str = ""
    """What has been told of it for good."""
    speech_s: float = 0.0
    """How much of the audio the VAD takes for speech."""

    @property
    def what(self) -> str:
        return "final" if self.final else "partial"


_Mark: TypeAlias = Callable[[list[Event]], None]


class Session:
    """See the module. Not thread-safe."""

    def __init__(self, config: SessionConfig | None = None) -> None:
        self._config = config or SessionConfig()
        self._segmenter = Segmenter(self._config.segmenter)
        self._tape = AudioBuffer()
        self._framed = 0
        self._unheard: deque[int | _Mark] = deque()
        """Frames that were given out and not observed yet, and what is to happen between them."""
        self._line = EventQueue()
        self._segments: dict[int, OpenSegment] = {}
        self._open: OpenSegment | None = None
        self._finals: list[StepRequest] = []
        self._next_id = 0

    @property
    def open_segment(self) -> int | None:
        """The segment that is being spoken."""
        return self._open.id if self._open else None

    @property
    def received_s(self) -> float:
        """Audio that was fed, in seconds."""
        return self._tape.end / SAMPLE_RATE

    @property
    def behind_s(self) -> float:
        """Audio that was fed and for which there is no text yet, though there may be speech in it."""
        head = self._line.first_segment
        done = head.heard if head else self._segmenter.now
        if head and head is self._open and self._segmenter.voiced_until <= head.heard:
            done = self._segmenter.now
        return (self._tape.end - done) / SAMPLE_RATE

    @property
    def waiting(self) -> int:
        """Segments and silences that have not been told."""
        return len(self._line)

    @property
    def settled(self) -> bool:
        """Whether everything that was fed has been told."""
        return not (self._unheard or self._line or self._open)

    def holds(self, segment_id: int) -> bool:
        """Whether the segment is under way: neither final nor discarded."""
        return segment_id in self._segments

    def feed(self, audio: Audio) -> NDArray[np.float32]:
        """Take 16 kHz audio of any length; return the frames that it completes, shape [frames, 512], to be observed."""
        self._tape.append(audio)
        frames = (self._tape.end - self._framed) // FRAME
        begin, self._framed = self._framed, self._framed + frames * FRAME
        if frames:
            self._unheard.append(frames)
        return self._tape.between(begin, self._framed).reshape(frames, FRAME)

    def observe(self, probabilities: NDArray[np.float32], levels: NDArray[np.float32]) -> list[Event]:
        """What the VAD says of the next frames, and how loud they are (dBFS)."""
        events: list[Event] = []
        while len(probabilities):
            head = self._unheard.popleft()
            if not isinstance(head, int):
                head(events)
                continue
            if head > len(probabilities):
                self._unheard.appendleft(head - len(probabilities))
            now, later = slice(0, head), slice(head, None)
            self._take(self._segmenter.feed(probabilities[now], levels[now]), events)
            probabilities, levels = probabilities[later], levels[later]
        self._pass_marks(events)
        self._tape.forget_before(min(self._segmenter.settled, self._framed))
        events.append(AudioProgress(self._clock(self._segmenter.now)))
        return events

    def due(self, step_s: float | None = None) -> list[StepRequest]:
        """What is to be recognised now; each is given out once, finals in order and then at most one partial.

        No partial is due while an earlier segment waits for its final: it could not be told yet.
        `step_s`: new audio that makes a partial due, if not the config's.
        """
        steps = [replace(step, stable=self._segments[step.segment_id].agreement.stable) for step in self._finals]
        self._finals = []
        segment = self._open
        if segment is not None and self._line.first_segment is segment:
            end = self._segmenter.usable
            is_due = end - segment.seen >= (step_s or self._config.step_s) * SAMPLE_RATE
            if is_due and self._segmenter.voiced_until > segment.seen:
                segment.seen = end
                audio = self._tape.between(segment.start, end)
                speech_s = self._segmenter.voiced_frames * FRAME / SAMPLE_RATE
                stable = segment.agreement.stable
                steps.append(StepRequest(segment.id, audio, end, final=False, stable=stable, speech_s=speech_s))
        return steps

    def apply(self, step: StepRequest, hypothesis: Hypothesis) -> list[Event]:
        """What was heard in `step`. Late results, of segments that are done or discarded, change nothing."""
        segment = self._segments.get(step.segment_id)
        if segment is None or (step.end <= segment.heard and not step.final):
            return []
        segment.heard = step.end
        if step.final:
            reading = segment.agreement.finish(hypothesis)
            return self._complete(segment, self._final(segment, reading, hypothesis))
        reading = segment.agreement.update(hypothesis, len(step.audio) / SAMPLE_RATE)
        segment.partial = Partial(
            segment.id,
            self._clock(segment.start),
            self._clock(step.end),
            reading.stable,
            reading.draft,
            hypothesis.language,
            self._words(reading, segment, step.end),
        )
        events: list[Event] = []
        self._line.tell(events)
        return events

    def fail(self, step: StepRequest, error: StenoError) -> list[Event]:
        """`step` could not be recognised. A partial is left out; a final has what was stable."""
        segment = self._segments.get(step.segment_id)
        if segment is None or not step.final or segment.reason is None:
            return []
        start_s, end_s = self._clock(segment.start), self._clock(segment.end)
        final = Final(segment.id, start_s, end_s, segment.agreement.stable, segment.reason, error=error)
        return self._complete(segment, final)

    def flush(self) -> list[Event]:
        """End the segment here. There will be one `Final` with the reason `flush`, an empty one if nobody speaks."""
        return self._mark(partial(self._end_here, self._restart_frames(), "flush"))

    def finish(self) -> list[Event]:
        """The stream ends here."""
        return self._mark(partial(self._end_here, self._restart_frames(), "close"))

    def reset(self) -> list[Event]:
        """Discard the segment that is being spoken. Those that have ended stay."""
        return self._mark(partial(self._discard, self._restart_frames()))

    def configure(self, config: SessionConfig) -> list[Event]:
        """Go on with other options (not with another `offset_s`)."""
        return self._mark(partial(self._reconfigure, replace(config, offset_s=self._config.offset_s)))

    def _restart_frames(self) -> int:
        self._framed = self._tape.end
        return self._tape.end

    def _mark(self, mark: _Mark) -> list[Event]:
        self._unheard.append(mark)
        events: list[Event] = []
        self._pass_marks(events)
        return events

    def _pass_marks(self, events: list[Event]) -> None:
        while self._unheard and not isinstance(self._unheard[0], int):
            mark = self._unheard.popleft()
            assert not isinstance(mark, int)
            mark(events)

    def _end_here(self, end: int, reason: Reason, events: list[Event]) -> None:
        spans = self._segmenter.flush(end)
        self._take(spans, events, reason)
        speaks = any(
            isinstance(span, vad.ClosedSpan) and (span.kind, span.reason) == ("speech", "flush") for span in spans
        )
        if reason == "flush" and not speaks:
            now_s = self._clock(end)
            self._line.append(Final(self._new_id(), now_s, now_s, "", reason))
        self._line.tell(events)

    def _discard(self, end: int, events: list[Event]) -> None:
        for span in self._segmenter.flush(end):
            if isinstance(span, vad.ClosedSpan):
                self._line.append(Silence(self._clock(span.start), self._clock(span.end), discarded=True))
        if self._open is not None:
            self._line.drop(self._open)
            del self._segments[self._open.id]
            self._open = None
        self._line.tell(events)

    def _reconfigure(self, config: SessionConfig, _: list[Event]) -> None:
        self._config = config
        self._segmenter.configure(config.segmenter)

    def _take(self, heard: Iterable[vad.Event], events: list[Event], wish: Reason = "close") -> None:
        for item in heard:
            if isinstance(item, vad.SpeechOnset):
                self._begin(item, events)
            elif item.kind == "speech":
                self._end(item, _reason(item, wish), events)
            else:
                self._line.append(Silence(self._clock(item.start), self._clock(item.end)))
        self._line.tell(events)

    def _begin(self, started: vad.SpeechOnset, events: list[Event]) -> None:
        start = started.start
        agreement = LocalAgreement(self._config.hold_s)
        segment = OpenSegment(self._new_id(), start, agreement, seen=start, heard=start)
        self._open = self._segments[segment.id] = segment
        self._line.append(segment)
        events.append(SpeechStarted(segment.id, self._clock(start), self._clock(started.onset)))

    def _end(self, span: vad.ClosedSpan, reason: Reason, events: list[Event]) -> None:
        segment, self._open = self._open, None
        assert segment is not None
        segment.end, segment.reason = span.end, reason
        segment.spoken = span.voiced or (span.start, span.end)
        audio = self._tape.between(span.start, span.end)
        speech_s = span.voiced_frames * FRAME / SAMPLE_RATE
        self._finals.append(StepRequest(segment.id, audio, span.end, final=True, speech_s=speech_s))
        events.append(SpeechEnded(segment.id, self._clock(span.end), reason))

    def _complete(self, segment: OpenSegment, final: Final) -> list[Event]:
        self._line.complete(segment, final)
        del self._segments[segment.id]
        events: list[Event] = []
        self._line.tell(events)
        return events

    def _final(self, segment: OpenSegment, reading: StableHypothesis, hypothesis: Hypothesis) -> Final:
        assert segment.reason is not None
        return Final(
            segment.id,
            self._clock(segment.start),
            self._clock(segment.end),
            reading.text,
            segment.reason,
            (self._clock(segment.spoken[0]), self._clock(segment.spoken[1])),
            hypothesis.language,
            self._words(reading, segment, segment.end),
            hypothesis.confidence,
            diverged=reading.diverged,
            scores=hypothesis.scores if reading.text == hypothesis.text else (),
            repetition=hypothesis.repetition,
        )

    def _words(self, reading: StableHypothesis, segment: OpenSegment, end: int) -> tuple[Word, ...]:
        """On the stream's clock."""
        start_s, end_s = self._clock(segment.start), self._clock(end)
        return tuple(
            replace(word, start_s=min(start_s + word.start_s, end_s), end_s=min(start_s + word.end_s, end_s))
            for word in reading.words
        )

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _clock(self, sample: int) -> float:
        return self._config.offset_s + sample / SAMPLE_RATE


def _reason(span: vad.ClosedSpan, wish: Reason) -> Reason:
    if span.reason == "flush":
        return wish
    return "endpoint" if span.reason == "endpoint" else "cut"
