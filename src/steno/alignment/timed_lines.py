"""The result of an alignment: the sheet's lines with times, in order of time, each as often as it is said."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeAlias

from steno.alignment.heuristic import spread
from steno.alignment.line_words import LineWord
from steno.alignment.occurrences import LineTokens, Occurrence
from steno.alignment.repair import Span, repair_times
from steno.alignment.sheet import SheetLine
from steno.types import Word

LineStatus: TypeAlias = Literal["found", "uncertain", "estimated", "not_found"]
"""`found`: the audio says it. `uncertain`: something like it was heard between its neighbours. `estimated`: its time is
only its share of the speech. `not_found`: it has no time."""


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A line of the sheet at one of the times at which it is said."""

    number: int
    """Of the line in the text, from 1."""
    text: str
    status: LineStatus
    section: str | None = None
    repeat: int = 1
    """1 = the first time that the line is said."""
    start_s: float | None = None
    end_s: float | None = None
    """None if it was not found, and only then; the same for `start_s`."""
    confidence: float = 0.0
    """How well the audio says it, in [0, 1]."""
    words: tuple[Word, ...] = ()


def timed_lines(
    lines: Sequence[SheetLine],
    tokens: Sequence[LineTokens],
    occurrences: Sequence[Occurrence],
    line_words: Sequence[LineWord],
    duration_s: float,
) -> list[TimedLine]:
    """All lines: those that were found, in order of time, and among them, in the sheet's order, those that were not."""
    words: defaultdict[int, list[Word]] = defaultdict(list)
    spans = repair_times([(line_word.start_s, line_word.end_s) for line_word in line_words], duration_s)
    for line_word, (start_s, end_s) in zip(line_words, spans, strict=True):
        text = lines[occurrences[line_word.occurrence].line].text[line_word.begin : line_word.end].strip()
        words[line_word.occurrence].append(Word(text, start_s, end_s, line_word.score))
    made: list[TimedLine] = []
    times = Counter[int]()
    missing = _missing(lines, tokens, occurrences)
    for n, occurrence in enumerate(occurrences):
        line = lines[occurrence.line]
        while missing and missing[0] < occurrence.line:
            made.append(_missing_line(lines[missing.pop(0)]))
        if not words[n]:
            continue
        times[line.number] += 1
        made.append(_timed(line, times[line.number], occurrence, words[n]))
    return [*made, *(_missing_line(lines[n]) for n in missing)]


def even_lines(
    lines: Sequence[SheetLine],
    tokens: Sequence[LineTokens],
    speech: Sequence[Span],
    duration_s: float,
    language: str | None,
) -> list[TimedLine]:
    """All lines one after the other, each with a part of the speech in proportion to its letters.

    Args:
        speech: where speech was detected; nowhere = the whole recording is shared out.
    """
    clock = _SpeechClock(speech or [(0.0, duration_s)])
    spoken = [(line, _letters(own)) for line, own in zip(lines, tokens, strict=True) if own.tokens]
    total, done = sum(letters for _, letters in spoken), 0
    times = Counter[int]()
    made: list[TimedLine] = []
    for line, letters in spoken:
        start_s = clock.at(done / total, is_start=True)
        done += letters
        end_s = max(clock.at(done / total, is_start=False), start_s)
        times[line.number] += 1
        made.append(
            TimedLine(
                line.number,
                line.text,
                "estimated",
                line.section,
                times[line.number],
                start_s,
                end_s,
                words=spread(line.text, start_s, end_s, language),
            )
        )
    return made


def _letters(line: LineTokens) -> int:
    return sum(len(token.norm) for token in line.tokens)


class _SpeechClock:
    """Converts a share of all speech to a time."""

    def __init__(self, speech: Sequence[Span]) -> None:
        self._speech = speech
        self._ends_s = list(accumulate(end_s - start_s for start_s, end_s in speech))

    def at(self, share: float, *, is_start: bool) -> float:
        """`is_start`: in a pause, the time after it, not before."""
        spoken_s = share * self._ends_s[-1]
        find = bisect_right if is_start else bisect_left
        n = min(find(self._ends_s, spoken_s), len(self._speech) - 1)
        return min(self._speech[n][1] - (self._ends_s[n] - spoken_s), self._speech[n][1])


def _missing(lines: Sequence[SheetLine], tokens: Sequence[LineTokens], found: Sequence[Occurrence]) -> list[int]:
    numbers = {lines[occurrence.line].number for occurrence in found}
    return [n for n, line in enumerate(lines) if tokens[n].tokens and not line.is_copy and line.number not in numbers]


def _missing_line(line: SheetLine) -> TimedLine:
    return TimedLine(line.number, line.text, "not_found", line.section)


def _timed(line: SheetLine, repeat: int, occurrence: Occurrence, words: Sequence[Word]) -> TimedLine:
    status: LineStatus = "found" if occurrence.is_certain else "uncertain"
    return TimedLine(
        line.number,
        line.text,
        status,
        line.section,
        repeat,
        words[0].start_s,
        words[-1].end_s,
        occurrence.confidence,
        tuple(words),
    )


def offsets_of(line_words: Sequence[LineWord], heard: Sequence[LineWord]) -> Iterator[tuple[float, float]]:
    """(Time, offset) of each line whose first word was certainly heard: where it is now, and how far from there."""
    previous = -1
    for now, before in zip(line_words, heard, strict=True):
        if now.occurrence != previous and before.is_certain:
            yield now.start_s, now.start_s - before.start_s
        previous = now.occurrence
