"""Builds the `Partial` and `Final` of a segment from its stable hypothesis, on the stream's clock."""

from __future__ import annotations

from dataclasses import dataclass, replace

from steno.errors import StenoError
from steno.streaming.event_queue import OpenSegment
from steno.streaming.events import Final, Partial, Reason
from steno.streaming.hypothesis import StableHypothesis
from steno.types import SAMPLE_RATE, Hypothesis, Word
from steno.vad.segmenter import ClosedSpan


@dataclass(frozen=True, slots=True)
class StreamClock:
    """Converts samples from the start of the stream into seconds. The first sample is at `offset_s`."""

    offset_s: float

    def __call__(self, sample: int) -> float:
        return self.offset_s + sample / SAMPLE_RATE


def partial_of(
    segment: OpenSegment, stable: StableHypothesis, hypothesis: Hypothesis, end: int, clock: StreamClock
) -> Partial:
    """`end`: the last recognised sample."""
    return Partial(
        segment.id,
        clock(segment.start),
        clock(end),
        stable.stable,
        stable.draft,
        hypothesis.language,
        _words(stable, segment, end, clock),
    )


def final_of(segment: OpenSegment, stable: StableHypothesis, hypothesis: Hypothesis, clock: StreamClock) -> Final:
    assert segment.reason is not None
    return Final(
        segment.id,
        clock(segment.start),
        clock(segment.end),
        stable.text,
        segment.reason,
        (clock(segment.spoken[0]), clock(segment.spoken[1])),
        hypothesis.language,
        _words(stable, segment, segment.end, clock),
        hypothesis.confidence,
        diverged=stable.diverged,
        scores=hypothesis.scores if stable.text == hypothesis.text else (),
        repetition=hypothesis.repetition,
    )


def failed_final_of(segment: OpenSegment, error: StenoError, clock: StreamClock) -> Final:
    """The stable text alone: recognition of the final failed."""
    assert segment.reason is not None
    start_s, end_s = clock(segment.start), clock(segment.end)
    return Final(segment.id, start_s, end_s, segment.agreement.stable, segment.reason, error=error)


def reason_of(span: ClosedSpan, flush_reason: Reason) -> Reason:
    """Why the segment of this span ended. `flush_reason`: of a span that was flushed."""
    if span.reason == "flush":
        return flush_reason
    return "endpoint" if span.reason == "endpoint" else "cut"


def _words(stable: StableHypothesis, segment: OpenSegment, end: int, clock: StreamClock) -> tuple[Word, ...]:
    start_s, end_s = clock(segment.start), clock(end)
    return tuple(
        replace(word, start_s=min(start_s + word.start_s, end_s), end_s=min(start_s + word.end_s, end_s))
        for word in stable.words
    )
