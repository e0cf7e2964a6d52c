"""An alignment as JSON."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from steno.alignment.timed_lines import LineStatus, TimedLine
from steno.languages import name_of
from steno.pipelines.known_text import LineAlignment, Method
from steno.server.http.timings_json import ResultTimings, timings_json
from steno.server.http.transcript_json import WireWord, wire_word
from steno.stage_times import StageTimes
from steno.types import Segment


class WireLine(BaseModel):
    """A line at one of the times at which it is sung."""

    text: str
    start_s: float | None
    end_s: float | None
    """Null if it was not found, as `start_s`."""
    words: list[WireWord]
    confidence: float
    """How well the audio says the line, in [0, 1]."""
    status: LineStatus
    number: int
    """Of the line in the request's text, from 1."""
    repeat: int
    """1 = the first time that the line is sung."""
    section: str | None


class WireDrift(BaseModel):
    """Offsets of the starts of lines from where their first words were recognised."""

    lines: int
    median_ms: float
    ms_per_min: float
    total_ms: float


class AlignmentAnswer(BaseModel):
    lines: list[WireLine]
    """In order of time."""
    method: Method
    warnings: list[str]
    match_ratio: float
    language: str | None
    """English name, in lower case."""
    drift: WireDrift | None
    """Null if there are too few lines to tell."""
    audio_s: float
    timings: ResultTimings
    """With the further steps `match`, `align_lines` and `decode_again`."""


def alignment_answer(done: LineAlignment, times: StageTimes) -> AlignmentAnswer:
    """`times`: of the work."""
    drift = done.drift
    return AlignmentAnswer(
        lines=[_wire_line(line) for line in done.lines],
        method=done.method,
        warnings=list(done.warnings),
        match_ratio=round(done.match_ratio, 3),
        language=name_of(done.language).lower() if done.language else None,
        drift=WireDrift(
            lines=drift.lines,
            median_ms=round(drift.median_ms, 1),
            ms_per_min=round(drift.ms_per_min, 2),
            total_ms=round(drift.total_ms, 1),
        )
        if drift
        else None,
        audio_s=round(done.audio_s, 3),
        timings=timings_json(times, done.audio_s),
    )


def line_segments(lines: Sequence[TimedLine]) -> list[Segment]:
    """The lines that have a time, for the caption formats."""
    return [
        Segment(n, line.start_s, line.end_s, line.text, words=line.words, confidence=line.confidence)
        for n, line in enumerate(lines)
        if line.start_s is not None and line.end_s is not None
    ]


def _wire_line(line: TimedLine) -> WireLine:
    return WireLine(
        text=line.text,
        start_s=None if line.start_s is None else round(line.start_s, 3),
        end_s=None if line.end_s is None else round(line.end_s, 3),
        words=[wire_word(word) for word in line.words],
        confidence=round(line.confidence, 4),
        status=line.status,
        number=line.number,
        repeat=line.repeat,
        section=line.section,
    )
