"""The JSON of an archive's recordings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Literal, TypeVar

import msgspec
from pydantic import BaseModel, Field, TypeAdapter

from steno.archive.archive_review import ReviewedRecording
from steno.archive.manifest import ChatClock, ClockAnchor, RecordingManifest, Verdict
from steno.types import Segment

SLICE = 500
"""Members of a list that are serialised at once, in 1 ms."""
MemberT = TypeVar("MemberT", bound=BaseModel)
By = Annotated[str, Field(max_length=100)]


class RecordingSummary(BaseModel):
    id: str
    duration_s: float
    segments: int
    low_s: float
    """Seconds of speech of low confidence."""
    reviewed: int
    """Segments that somebody accepted or rejected."""
    has_chat: bool
    clock: Literal["none", "unclear", "found", "confirmed"]


class RecordingList(BaseModel):
    data: list[RecordingSummary]


class ReviewSegment(BaseModel):
    start_s: float
    end_s: float
    text: str
    speaker: str | None
    confidence: float | None
    verdict: Verdict | None


class ReviewMessage(BaseModel):
    time_s: float
    """On the chat's clock."""
    author: str
    text: str


class ReviewJson(BaseModel):
    id: str
    duration_s: float
    audio_url: str
    segments: list[ReviewSegment]
    messages: list[ReviewMessage]
    clock: ChatClock | None
    has_curve: bool


class Levels(BaseModel):
    """The waveform."""

    step_s: float
    levels_db: list[int]


class NewAnchors(BaseModel):
    """All anchors of the recording."""

    anchors: Annotated[list[ClockAnchor], Field(max_length=1000)]
    by: By = ""


class Confirmation(BaseModel):
    by: By = ""


class NewVerdict(BaseModel):
    start_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    end_s: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    verdict: Verdict | None
    """None = take it back."""
    by: By = ""


class ClockJson(BaseModel):
    clock: ChatClock | None


def summary_of(manifest: RecordingManifest) -> RecordingSummary:
    confidence = manifest.confidence
    transcript = manifest.transcript
    return RecordingSummary(
        id=manifest.id,
        duration_s=manifest.duration_s or 0.0,
        segments=int(transcript.statistics["segments"]) if transcript is not None else 0,
        low_s=confidence.low_s if confidence is not None else 0.0,
        reviewed=len(manifest.reviews),
        has_chat=manifest.chat_raw is not None,
        clock=_clock_state(manifest.clock),
    )


def review_json(found: ReviewedRecording, audio_url: str) -> bytes:
    """A `ReviewJson`. Call it in a thread; it makes the long lists in slices, and holds the GIL for one at a time."""
    head = ReviewJson(
        id=found.manifest.id,
        duration_s=found.duration_s,
        audio_url=audio_url,
        segments=[],
        messages=[],
        clock=found.manifest.clock,
        has_curve=found.manifest.curve is not None,
    )
    segments = (_review_segment(segment, found.manifest) for segment in found.segments)
    messages = (
        ReviewMessage(time_s=message.time_s, author=message.author, text=message.text) for message in found.messages
    )
    lists = {"segments": _list_json(ReviewSegment, segments), "messages": _list_json(ReviewMessage, messages)}
    return msgspec.json.encode({**head.model_dump(mode="json"), **lists})


def _review_segment(segment: Segment, manifest: RecordingManifest) -> ReviewSegment:
    return ReviewSegment(
        start_s=segment.start_s,
        end_s=segment.end_s,
        text=segment.text,
        speaker=segment.speaker,
        confidence=segment.confidence,
        verdict=manifest.verdict_on(segment.start_s, segment.end_s),
    )


def _list_json(kind: type[MemberT], items: Iterator[MemberT]) -> msgspec.Raw:
    adapter, parts = TypeAdapter(list[kind]), []  # type: ignore[valid-type]
    while part := list(islice(items, SLICE)):
        parts.append(adapter.dump_json(part)[1:-1])
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def _clock_state(clock: ChatClock | None) -> Literal["none", "unclear", "found", "confirmed"]:
    if clock is None:
        return "none"
    if not clock.segments:
        return "unclear"
    return "found" if clock.confirmed_by is None else "confirmed"
