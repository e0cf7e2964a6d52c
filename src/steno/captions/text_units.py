"""Splits a text into the units of lines and cues: words, or phrases in scripts without spaces."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import regex

from steno.captions.clock import TimedText
from steno.captions.endings import BreakRank, break_rank
from steno.captions.locate import TextSpan
from steno.captions.phrases import phrase_starts
from steno.captions.script import TOKENS, UNSPACED, clusters, kind, may_break, width

LONG_WORD_CHARS = 8
"""Characters. A longer "word" of ideographs is a phrase or more, and may be split between phrases."""
_TRAILING = regex.compile(r"[—–…]+|\.{2,}")
"""Tokens between spaces that belong to the word before."""


@dataclass(slots=True)
class TextUnit:
    """Indivisible text: characters `begin` to `end` of the whole text."""

    text: str
    width: int
    """Width in columns."""
    spaced: bool
    """Whether a space precedes it, unless it is first."""
    begin: int
    end: int
    ends: BreakRank = BreakRank.PLAIN
    """Rank of a break after it."""
    start_ms: int = 0
    end_ms: int = 0
    language: str | None = None


def units_of(text: str, max_width: int, language: str | None, word_spans: Sequence[TextSpan] = ()) -> list[TextUnit]:
    """The units of a single-spaced text, none wider than `max_width` except a single wide character.

    Args:
        word_spans: its words. Scripts without spaces are split between words only.
    """
    phrases = phrase_starts(text, language) if UNSPACED.search(text) else None
    cased = text != text.lower()
    units: list[TextUnit] = []
    for begin, stop in pairwise([*_starts(text, phrases, word_spans), len(text)]):
        whole = text[begin:stop].rstrip(" ")
        end, columns = begin + len(whole), _width_in_line(whole)
        if columns <= max_width:
            _append(units, TextUnit(whole, columns, bool(units) and begin > units[-1].end, begin, end), cased)
            continue
        for one, other in _split_to_width(text, begin, end, max_width, phrases or ()):
            part = text[one:other]
            spaced = bool(units) and one > units[-1].end
            _append(units, TextUnit(part, _width_in_line(part), spaced, one, other), cased)
            if other < end and text[other] != " ":
                units[-1].ends = BreakRank.INSIDE
    for unit in units:
        unit.language = language
    if units:
        units[-1].ends = max(break_rank(units[-1].text, "", spaced=False, cased=cased), BreakRank.CLAUSE)
    return units


def _append(units: list[TextUnit], unit: TextUnit, cased: bool) -> None:
    """Append a unit and set the break rank of the one before it."""
    if units and units[-1].ends is not BreakRank.INSIDE:
        units[-1].ends = break_rank(units[-1].text, unit.text, spaced=unit.spaced, cased=cased)
    units.append(unit)


def set_times(units: Sequence[TextUnit], word_spans: Sequence[TextSpan], spans: Sequence[TimedText]) -> None:
    """Set the units' times from their words' times; within a word in proportion to the number of characters."""
    at = 0
    for n, unit in enumerate(units):
        while word_spans[at].end <= unit.begin:
            at += 1
        unit.start_ms = _time(unit.begin, word_spans[at], spans[at])
        while word_spans[at].end < unit.end:
            at += 1
        is_last = n + 1 == len(units) or units[n + 1].begin >= word_spans[at].end
        unit.end_ms = spans[at].end_ms if is_last else _time(unit.end, word_spans[at], spans[at])


def _time(position: int, word_span: TextSpan, span: TimedText) -> int:
    return span.start_ms + (span.end_ms - span.start_ms) * (position - word_span.begin) // span.size


def _width_in_line(text: str) -> int:
    """Width in columns. A leading combining mark combines with the space before it, which may make it visible."""
    return max(width(text), width(f" {text}") - 1) if kind(text[0]).never_first else width(text)


def _starts(text: str, phrases: Collection[int] | None, word_spans: Sequence[TextSpan]) -> Iterator[int]:
    """Start positions of the units."""
    cjk_units = _CjkUnits(text, phrases, word_spans) if UNSPACED.search(text) else None
    reached = 0
    for token in TOKENS.finditer(text):
        begin, end = token.span()
        if not begin or (
            may_break(text[reached - 1], text[begin], spaced=True) and not _TRAILING.fullmatch(text, begin, end)
        ):
            yield begin
        if cjk_units is not None:
            yield from (at for at in range(begin + 1, end) if cjk_units.at(at))
        reached = end


class _CjkUnits:
    """Where a text in a script without spaces may be split between two characters."""

    def __init__(self, text: str, phrases: Collection[int] | None, word_spans: Sequence[TextSpan]) -> None:
        self._text = text
        self._phrases = phrases
        self._words = {word_span.begin for word_span in word_spans} if len(word_spans) > 1 else None
        self._splittable = {
            at
            for word_span in word_spans
            if word_span.end - word_span.begin > LONG_WORD_CHARS
            for at in _range(word_span)
        }
        self._clusters = set(accumulate(len(cluster) for cluster in clusters(text)))

    def at(self, position: int) -> bool:
        left, right = self._text[position - 1], self._text[position]
        if position not in self._clusters or not may_break(left, right, spaced=False):
            return False
        before, after = kind(left), kind(right)
        if before.break_after:
            return True
        is_word = self._words is None or position in self._words
        is_phrase = self._phrases is not None and position in self._phrases
        if before.south_east_asian or after.south_east_asian:
            return is_word if self._words is not None else is_phrase
        if before.ideographic or after.ideographic:
            return (is_word or position in self._splittable) and (is_phrase or self._phrases is None)
        return False


def _range(word_span: TextSpan) -> range:
    return range(word_span.begin + 1, word_span.end)


def _split_to_width(
    text: str, begin: int, end: int, max_width: int, phrases: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Parts of about equal width, cut between clusters, preferably after punctuation or a phrase."""
    total = width(text[begin:end])
    target_width = max(2, -(-total // -(-total // max_width)))
    at, taken, best_cut = begin, 0, begin
    position = begin
    for cluster in clusters(text[begin:end]):
        columns = width(cluster)
        if taken and taken + columns > target_width:
            stop = best_cut if 2 * width(text[at:best_cut]) > target_width else position
            yield from _stripped(text, at, stop)
            at, taken = stop, width(text[stop:position])
        position += len(cluster)
        taken += columns
        if position in phrases or not cluster.isalnum():
            best_cut = position
    yield from _stripped(text, at, end)


def _stripped(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The range without spaces at its ends; nothing if it is all spaces."""
    inner = text[begin:end].lstrip(" ")
    begin, inner = end - len(inner), inner.rstrip(" ")
    if inner:
        yield begin, begin + len(inner)
