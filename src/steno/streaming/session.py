"""One live stream, sans-IO: audio in, frames out to the VAD, probabilities in, steps out to the recogniser, hypotheses
in; and events out at every stage. Nothing here waits or reads the time: the stream's clock is its audio.

    feed(audio) → frames      observe(probabilities) → events      due() → steps      apply(step, hypothesis) → events

With `turn_checks_ms`, `observe` stops in a `pause` until `judge` is called.

`flush`, `reset`, `configure` and `finish` take effect at the point of the stream where they were called: once the
frames fed before have been observed. The finals do not depend on how the audio was split or in which order results
come; they are emitted in order, one for each segment.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.errors import StenoError
from steno.streaming.audio_buffer import AudioBuffer
from steno.streaming.event_queue import EventQueue, OpenSegment
from steno.streaming.events import (
    AssumedSilence,
    AudioProgress,
    Event,
    Final,
    Reason,
    Silence,
    SpeechEnded,
    SpeechResumed,
    SpeechStarted,
    TurnJudged,
)
from steno.streaming.hypothesis import LocalAgreement
from steno.streaming.pending_frames import PendingFrames
from steno.streaming.segment_text import StreamClock, failed_final_of, final_of, partial_of, reason_of
from steno.streaming.session_config import SessionConfig
from steno.streaming.step_request import Pause, StepRequest
from steno.types import SAMPLE_RATE, Hypothesis
from steno.vad import segmenter as vad
from steno.vad.config import frames_of
from steno.vad.segmenter import Segmenter
from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.types import Audio


class Session:
    """See the module. Not thread-safe."""

    def __init__(self, config: SessionConfig | None = None) -> None:
        self._config = config or SessionConfig()
        self._clock = StreamClock(self._config.offset_s)
        self._segmenter = Segmenter(self._config.segmenter)
        self._buffer = AudioBuffer()
        self._framed = 0
        self._pending_vad = PendingFrames()
        self._queue = EventQueue()
        self._segments: dict[int, OpenSegment] = {}
        self._open: OpenSegment | None = None
        self._finals: list[StepRequest] = []
        self._ids = count()

    @property
    def open_segment(self) -> int | None:
        """Id of the segment that is being spoken."""
        return self._open.id if self._open else None

    @property
    def received_s(self) -> float:
        """Seconds of audio received."""
        return self._buffer.end / SAMPLE_RATE

    @property
    def framed(self) -> int:
        """End of the last frame that `feed` returned, in samples."""
        return self._framed

    @property
    def behind_s(self) -> float:
        """Seconds of received audio whose text is pending, except known silence."""
        head = self._queue.first_segment
        done = head.recognised if head else self._segmenter.now
        if head and head is self._open and self._segmenter.voiced_until <= head.recognised:
            done = self._segmenter.now
        return (self._buffer.end - done) / SAMPLE_RATE

    @property
    def waiting(self) -> int:
        """Segments and silences that have not been emitted."""
        return len(self._queue)

    @property
    def settled(self) -> bool:
        """Whether the events of all received audio have been emitted."""
        return not (self._pending_vad or self._queue or self._open)

    def is_open(self, segment_id: int) -> bool:
        """Whether the segment is open: neither final nor discarded."""
        return segment_id in self._segments

    def wants(self, step: StepRequest) -> bool:
        """Whether the result of `step` can still matter."""
        segment = self._segments.get(step.segment_id)
        return segment is not None and (not step.speculative or segment.speculation is step)

    @property
    def begun_pause(self) -> Pause | None:
        """The pause so far in the open segment, if pauses are judged."""
        segment, now, voiced_until = self._open, self._segmenter.now, self._segmenter.voiced_until
        if segment is None or now == voiced_until or not self._config.segmenter.turn_checks_ms:
            return None
        return Pause(segment.id, self._buffer.between(segment.start, now), voiced_until, now, segment.speculated)

    @property
    def pause(self) -> Pause | None:
        """The pause that has to be judged before any later frame is processed."""
        return self.begun_pause if self._segmenter.is_judging else None

    def feed(self, audio: Audio) -> NDArray[np.float32]:
        """Take 16 kHz audio of any length; return the frames that it completes for VAD, shape [frames, 512]."""
        self._buffer.append(audio)
        frames = (self._buffer.end - self._framed) // FRAME
        begin, self._framed = self._framed, self._framed + frames * FRAME
        self._pending_vad.add(frames)
        return self._buffer.between(begin, self._framed).reshape(frames, FRAME)

    def observe(self, probabilities: NDArray[np.float32], levels: NDArray[np.float32]) -> list[Event]:
        """Take the next frames' speech probabilities and levels (dBFS)."""
        events: list[Event] = []
        while len(probabilities):
            frames = self._pending_vad.take(len(probabilities), events)
            now, later = slice(0, frames), slice(frames, None)
            self._take_spans(self._segmenter.feed(probabilities[now], levels[now]), events)
            probabilities, levels = probabilities[later], levels[later]
        self._pending_vad.run_actions(events)
        self._progress(events)
        return events

    def judge(self, probability: float | None, threshold: float = 0.5) -> list[Event]:
        """Answer `pause`: how probable it is that the utterance is complete, which it is from `threshold` on; None =
        unknown, so that silence decides."""
        events: list[Event] = []
        if self._open is not None and self._segmenter.is_judging and probability is not None:
            events.append(TurnJudged(self._open.id, self._clock(self._segmenter.now), probability))
            self._open.judged_until = self._segmenter.voiced_until
        self._take_spans(self._segmenter.judge(None if probability is None else probability >= threshold), events)
        self._progress(events)
        return events

    def _progress(self, events: list[Event]) -> None:
        if self._open is not None and self._has_continued(self._open):
            self._open.speculation = self._open.speculated = None
        if self._open is not None and self._open.judged_until not in (None, self._segmenter.voiced_until):
            self._open.judged_until = None
            events.append(SpeechResumed(self._open.id, self._clock(self._segmenter.voiced_until)))
        self._buffer.forget_before(min(self._segmenter.settled, self._framed))
        events.append(AudioProgress(self._clock(self._segmenter.now)))

    def due(self, step_s: float | None = None, *, speculates: bool = True) -> list[StepRequest]:
        """The steps to recognise now, each returned once: finals in order, then at most one partial or speculative
        final.

        No partial is due while an earlier segment's final is pending: it could not be emitted yet.

        Args:
            step_s: new audio after which a partial is due; None = the config's.
            speculates: whether a final may be recognised speculatively.
        """
        steps = [replace(step, stable=self._segments[step.segment_id].agreement.stable) for step in self._finals]
        self._finals = []
        segment = self._open
        if segment is not None and self._queue.first_segment is segment:
            if speculates and (speculation := self._speculate(segment)) is not None:
                return [*steps, speculation]
            end = self._segmenter.usable
            is_due = end - segment.submitted >= (step_s or self._config.step_s) * SAMPLE_RATE
            if is_due and self._segmenter.voiced_until > segment.submitted:
                segment.submitted = end
                audio = self._buffer.between(segment.start, end)
                speech_s = self._segmenter.voiced_frames * FRAME / SAMPLE_RATE
                stable = segment.agreement.stable
                steps.append(StepRequest(segment.id, audio, end, final=False, stable=stable, speech_s=speech_s))
        return steps

    def apply(self, step: StepRequest, hypothesis: Hypothesis) -> list[Event]:
        """Take the hypothesis of `step`. Late results, for segments that are done or discarded, are ignored."""
        segment = self._segments.get(step.segment_id)
        if segment is None or not self.wants(step):
            return []
        is_undecided = segment.reason is None
        if step.speculative and is_undecided:
            segment.speculated = hypothesis
        if step.end <= segment.recognised and (not step.final or is_undecided):
            return []
        segment.recognised = step.end
        if step.final and not is_undecided:
            self._settle(segment, hypothesis)
        else:
            stable = segment.agreement.update(hypothesis, len(step.audio) / SAMPLE_RATE)
            segment.partial = partial_of(segment, stable, hypothesis, step.end, self._clock)
        events: list[Event] = []
        self._queue.emit(events)
        return events

    def fail(self, step: StepRequest, error: StenoError) -> list[Event]:
        """Recognition of `step` failed. A partial is dropped; a final gets the stable text."""
        segment = self._segments.get(step.segment_id)
        if segment is None or not step.final or not self.wants(step):
            return []
        if segment.reason is None:
            segment.speculation = None
            return []
        self._complete(segment, failed_final_of(segment, error, self._clock))
        events: list[Event] = []
        self._queue.emit(events)
        return events

    def flush(self) -> list[Event]:
        """End the segment here. Yields one `Final` with the reason `flush`, an empty one if no segment is open."""
        return self._pending_vad.schedule(partial(self._end_here, self._restart_frames(), "flush"))

    def assume_silence(self, seconds: float) -> list[Event]:
        """The client has sent nothing for `seconds`: end the segment here, as if silence had been received. The
        stream's clock stands still. Frames whose VAD result is pending keep the segment open."""
        events: list[Event] = []
        if self._open is not None and not self._pending_vad:
            events += self._pending_vad.schedule(partial(self._end_here, self._restart_frames(), "endpoint"))
        return [*events, AssumedSilence(self._clock(self._buffer.end), seconds)]

    def finish(self) -> list[Event]:
        """The stream ends here."""
        return self._pending_vad.schedule(partial(self._end_here, self._restart_frames(), "close"))

    def reset(self) -> list[Event]:
        """Discard the segment that is being spoken. Segments that have ended stay."""
        return self._pending_vad.schedule(partial(self._discard, self._restart_frames()))

    def configure(self, config: SessionConfig) -> list[Event]:
        """Change the options from here on, except `offset_s`."""
        return self._pending_vad.schedule(partial(self._reconfigure, replace(config, offset_s=self._config.offset_s)))

    def _restart_frames(self) -> int:
        self._framed = self._buffer.end
        return self._buffer.end

    def _end_here(self, end: int, reason: Reason, events: list[Event]) -> None:
        spans = self._segmenter.flush(end)
        self._take_spans(spans, events, reason)
        has_speech = any(
            isinstance(span, vad.ClosedSpan) and (span.kind, span.reason) == ("speech", "flush") for span in spans
        )
        if reason == "flush" and not has_speech:
            now_s = self._clock(end)
            self._queue.append(Final(next(self._ids), now_s, now_s, "", reason))
        self._queue.emit(events)

    def _discard(self, end: int, events: list[Event]) -> None:
        spans = [span for span in self._segmenter.flush(end) if isinstance(span, vad.ClosedSpan)]
        for span in spans:
            self._queue.append(Silence(self._clock(span.start), self._clock(span.end), discarded=True))
        if not spans:  # an empty one, so that the reset is seen to be done
            self._queue.append(Silence(self._clock(end), self._clock(end), discarded=True))
        if self._open is not None:
            self._queue.drop(self._open)
            del self._segments[self._open.id]
            self._open = None
        self._queue.emit(events)

    def _reconfigure(self, config: SessionConfig, _: list[Event]) -> None:
        self._config = config
        self._segmenter.configure(config.segmenter)

    def _take_spans(
        self, spans: Iterable[vad.SegmenterEvent], events: list[Event], flush_reason: Reason = "close"
    ) -> None:
        for item in spans:
            if isinstance(item, vad.SpeechOnset):
                self._begin(item, events)
            elif item.kind == "speech":
                self._end(item, reason_of(item, flush_reason), events)
            else:
                self._queue.append(Silence(self._clock(item.start), self._clock(item.end)))
        self._queue.emit(events)

    def _begin(self, started: vad.SpeechOnset, events: list[Event]) -> None:
        start = started.start
        agreement = LocalAgreement(self._config.hold_s)
        segment = OpenSegment(next(self._ids), start, agreement, submitted=start, recognised=start)
        self._open = self._segments[segment.id] = segment
        self._queue.append(segment)
        events.append(SpeechStarted(segment.id, self._clock(start), self._clock(started.onset)))

    def _end(self, span: vad.ClosedSpan, reason: Reason, events: list[Event]) -> None:
        segment, self._open = self._open, None
        assert segment is not None
        segment.end, segment.reason = span.end, reason
        segment.spoken = span.voiced or (span.start, span.end)
        events.append(SpeechEnded(segment.id, self._clock(span.end), reason))
        end = span.end
        if self._config.speculate_ms is not None and span.voiced is not None:
            end = min(end, span.voiced[1] + self._lead)
        if segment.speculation is not None and segment.speculation.end == end:
            if segment.speculated is not None:
                self._settle(segment, segment.speculated)
            return
        segment.speculation = None
        audio = self._buffer.between(span.start, end)
        speech_s = span.voiced_frames * FRAME / SAMPLE_RATE
        self._finals.append(StepRequest(segment.id, audio, end, final=True, speech_s=speech_s))

    @property
    def _lead(self) -> int:
        """Samples of a pause after which a final is recognised speculatively."""
        return frames_of((self._config.speculate_ms or 0.0) / 1000) * FRAME

    def _has_continued(self, segment: OpenSegment) -> bool:
        """Whether there was speech after the audio of its speculative final."""
        return segment.speculation is not None and self._segmenter.voiced_until + self._lead > segment.speculation.end

    def _speculate(self, segment: OpenSegment) -> StepRequest | None:
        """The speculative final that is due, if any: one in each pause."""
        voiced_until, end = self._segmenter.voiced_until, self._segmenter.voiced_until + self._lead
        is_new = segment.speculated_until < end <= self._segmenter.now
        if self._config.speculate_ms is None or not is_new or voiced_until <= segment.start:
            return None
        segment.submitted = max(segment.submitted, end)
        segment.speculated_until = end
        audio = self._buffer.between(segment.start, end)
        speech_s = self._segmenter.voiced_frames * FRAME / SAMPLE_RATE
        stable = segment.agreement.stable
        segment.speculation = StepRequest(
            segment.id, audio, end, final=True, stable=stable, speech_s=speech_s, speculative=True
        )
        segment.speculated = None
        return segment.speculation

    def _settle(self, segment: OpenSegment, hypothesis: Hypothesis) -> None:
        stable = segment.agreement.finish(hypothesis)
        self._complete(segment, final_of(segment, stable, hypothesis, self._clock))

    def _complete(self, segment: OpenSegment, final: Final) -> None:
        self._queue.complete(segment, final)
        del self._segments[segment.id]
