"""Transcripts as OpenAI's JSON."""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

from pydantic import BaseModel

from steno.languages import name_of
from steno.pipelines.subtitle import words_of
from steno.server.http.timings_json import ResultTimings, timings_json
from steno.stage_times import StageTimes
from steno.types import Segment, Transcript, Word

MAX_HEADER_CHARS = 1000
UNKNOWN_SPEAKER = "unknown"
"""Of text where the VAD found no speech; OpenAI's clients need a string."""


class Usage(BaseModel):
    type: Literal["duration"] = "duration"
    seconds: int


class LogProb(BaseModel):
    """Log-probability of a word, if the backend gives confidence per word."""

    token: str
    logprob: float
    bytes: list[int]


class JsonTranscript(BaseModel):
    """OpenAI's transcript, with language and duration, which clients of other servers read."""

    text: str
    language: str | None = None
    """English name, in lower case; None = unknown."""
    duration: float
    """Seconds."""
    usage: Usage
    logprobs: list[LogProb] | None = None
    warnings: list[str] | None = None
    """Damage found in the recording."""
    timings: ResultTimings | None = None
    """In documents of `steno transcribe --timings`."""


class DoneEvent(JsonTranscript):
    """The last event of a stream: the whole text."""

    type: Literal["transcript.text.done"] = "transcript.text.done"


class WireWord(BaseModel):
    word: str
    start: float
    end: float
    confidence: float | None = None


class TranscriptWord(WireWord):
    speaker: str | None = None
    """With `diarize=true`."""
    other_speaker: str | None = None
    """With `diarize=true`: who speaks at the same time."""


class WireSegment(BaseModel):
    """Whisper's segment. `tokens`, `seek` and `temperature` have no meaning here and are constant."""

    id: int
    seek: int = 0
    start: float
    end: float
    text: str
    tokens: list[int] = []
    temperature: float = 0.0
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float = 0.0
    confidence: float | None = None
    translated: bool | None = None
    """In translations; False if the source text was kept."""
    repetition: bool | None = None
    """True if the recogniser looped and the repetition was cut to one."""
    speaker: str | None = None
    """With `diarize=true`: who says all of it."""


class DiarizedSegment(BaseModel):
    """OpenAI's segment of one speaker."""

    type: Literal["transcript.text.segment"] = "transcript.text.segment"
    id: str
    start: float
    end: float
    text: str
    speaker: str
    """A name of `known_speaker_names[]`, or A, B, …"""


class DiarizedTranscript(BaseModel):
    task: Literal["transcribe"] = "transcribe"
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: Usage
    warnings: list[str] | None = None
    """Damage found in the recording."""


class VerboseTranscript(BaseModel):
    task: Literal["transcribe", "translate"] = "transcribe"
    language: str
    duration: float
    text: str
    segments: list[WireSegment] | None = None
    words: list[TranscriptWord] | None = None
    usage: Usage
    timings: ResultTimings
    warnings: list[str] | None = None
    """Damage found in the recording."""


def usage_of(transcript: Transcript) -> Usage:
    return Usage(seconds=math.ceil(transcript.duration_s))


def json_transcript(transcript: Transcript, *, logprobs: bool) -> JsonTranscript:
    return JsonTranscript(
        text=transcript.text,
        language=name_of(transcript.language).lower() if transcript.language else None,
        duration=round(transcript.duration_s, 3),
        usage=usage_of(transcript),
        warnings=list(transcript.warnings) or None,
        logprobs=[_logprob(word) for word in words_of(transcript.segments)] if logprobs else None,
    )


def done_event(transcript: Transcript, *, logprobs: bool) -> DoneEvent:
    return DoneEvent.model_construct(**dict(json_transcript(transcript, logprobs=logprobs)))


def verbose_transcript(transcript: Transcript, granularities: set[str], times: StageTimes) -> VerboseTranscript:
    """Include segments and words as requested; segments alone by default, as OpenAI does. `times`: of the work."""
    wants_segments = "segment" in granularities or not granularities
    return VerboseTranscript(
        language=name_of(transcript.language or "").lower(),
        duration=round(transcript.duration_s, 3),
        text=transcript.text,
        segments=[wire_segment(segment) for segment in transcript.segments] if wants_segments else None,
        words=[_spoken_word(word) for word in words_of(transcript.segments)] if "word" in granularities else None,
        usage=usage_of(transcript),
        timings=timings_json(times, transcript.duration_s),
        warnings=list(transcript.warnings) or None,
    )


def diarized_transcript(transcript: Transcript) -> DiarizedTranscript:
    return DiarizedTranscript(
        duration=round(transcript.duration_s, 3),
        text=transcript.text,
        segments=[diarized_segment(segment) for segment in transcript.segments],
        usage=usage_of(transcript),
        warnings=list(transcript.warnings) or None,
    )


def diarized_segment(segment: Segment) -> DiarizedSegment:
    return DiarizedSegment(
        id=str(segment.id),
        start=round(segment.start_s, 3),
        end=round(segment.end_s, 3),
        text=segment.text,
        speaker=segment.speaker or UNKNOWN_SPEAKER,
    )


def wire_word(word: Word) -> WireWord:
    return WireWord(
        word=word.text,
        start=round(word.start_s, 3),
        end=round(word.end_s, 3),
        confidence=_rounded(word.confidence),
    )


def _spoken_word(word: Word) -> TranscriptWord:
    return TranscriptWord(**wire_word(word).model_dump(), speaker=word.speaker, other_speaker=word.other_speaker)


def wire_segment(segment: Segment) -> WireSegment:
    text = segment.text.encode()
    return WireSegment(
        id=segment.id,
        start=round(segment.start_s, 3),
        end=round(segment.end_s, 3),
        text=segment.text,
        avg_logprob=round(_log(segment.confidence), 4),
        compression_ratio=round(len(text) / len(zlib.compress(text)), 3),
        confidence=_rounded(segment.confidence),
        repetition=segment.repetition or None,
        speaker=segment.speaker,
    )


def result_headers(transcript: Transcript) -> dict[str, str]:
    """Response headers about the transcript, the same for every format."""
    return {"X-Steno-Warnings": "; ".join(transcript.warnings)[:MAX_HEADER_CHARS]} if transcript.warnings else {}


def segment_event(segment: Segment) -> dict[str, Any]:
    return {
        "type": "transcript.text.segment",
        "id": str(segment.id),
        "start": round(segment.start_s, 3),
        "end": round(segment.end_s, 3),
        "text": segment.text,
        **({"speaker": segment.speaker} if segment.speaker is not None else {}),
    }


def _logprob(word: Word) -> LogProb:
    return LogProb(token=word.text, logprob=_log(word.confidence), bytes=list(word.text.encode()))


def _log(confidence: float | None) -> float:
    return 0.0 if confidence is None else math.log(max(confidence, 1e-10))


def _rounded(confidence: float | None) -> float | None:
    return None if confidence is None else round(confidence, 4)
