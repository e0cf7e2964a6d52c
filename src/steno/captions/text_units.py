"""A text as the smallest pieces that lines and cues are made of: words, or phrases where a script has no spaces."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import regex

from steno.captions.clock import TimedText
from steno.captions.endings import BreakRank, ending
from steno.captions.locate import TextSpan
from steno.captions.phrases import phrase_starts
from steno.captions.script import TOKENS, UNSPACED, clusters, kind, may_part, width

LONG_WORD = 8
"""Characters. A "word" of ideographs longer than this is a phrase or more, and may be parted between phrases."""
_TRAILING = regex.compile(r"[—–…]+|\.{2,}")
"""What stands between spaces and yet belongs to the word before."""


@dataclass(slots=True)
class TextUnit:
    """Text that no break divides: characters `begin` to `end` of its text."""

    text: str
    width: int
    """Columns."""
    spaced: bool
    """Whether a space comes before it, if anything does."""
    begin: int
    end: int
    ends: BreakRank = BreakRank.PLAIN
    """What ends with it."""
    start_ms: int = 0
    end_ms: int = 0
    language: str | None = None


def pieces_of(text: str, max_width: int, language: str | None, places: Sequence[TextSpan] = ()) -> list[TextUnit]:
    """The pieces of a single-spaced text, none wider than `max_width` but for a single wide character.

    Args:
        places: its words. Scripts without spaces are parted between words only.
    """
    phrases = phrase_starts(text, language) if UNSPACED.search(text) else None
    cased = text != text.lower()
    pieces: list[TextUnit] = []
    for begin, stop in pairwise([*_starts(text, phrases, places), len(text)]):
        whole = text[begin:stop].rstrip(" ")
        end, wide = begin + len(whole), _width_in_line(whole)
        if wide <= max_width:
            _append(pieces, TextUnit(whole, wide, bool(pieces) and begin > pieces[-1].end, begin, end), cased)
            continue
        for one, other in _fitted(text, begin, end, max_width, phrases or ()):
            part = text[one:other]
            spaced = bool(pieces) and one > pieces[-1].end
            _append(pieces, TextUnit(part, _width_in_line(part), spaced, one, other), cased)
            if other < end and text[other] != " ":
                pieces[-1].ends = BreakRank.INSIDE
    for piece in pieces:
        piece.language = language
    if pieces:
        pieces[-1].ends = max(ending(pieces[-1].text, "", spaced=False, cased=cased), BreakRank.CLAUSE)
    return pieces


def _append(pieces: list[TextUnit], piece: TextUnit, cased: bool) -> None:
    """Add a piece, now that is known what the one before it ends."""
    if pieces and pieces[-1].ends is not BreakRank.INSIDE:
        pieces[-1].ends = ending(pieces[-1].text, piece.text, spaced=piece.spaced, cased=cased)
    pieces.append(piece)


def set_times(pieces: Sequence[TextUnit], places: Sequence[TextSpan], spans: Sequence[TimedText]) -> None:
    """Times of pieces from those of the words they are of; within a word they go by the number of characters."""
    at = 0
    for n, piece in enumerate(pieces):
        while places[at].end <= piece.begin:
            at += 1
        piece.start_ms = _time(piece.begin, places[at], spans[at])
        while places[at].end < piece.end:
            at += 1
        is_last = n + 1 == len(pieces) or pieces[n + 1].begin >= places[at].end
        piece.end_ms = spans[at].end_ms if is_last else _time(piece.end, places[at], spans[at])


def _time(position: int, place: TextSpan, span: TimedText) -> int:
    return span.start_ms + (span.end_ms - span.start_ms) * (position - place.begin) // span.size


def _width_in_line(text: str) -> int:
    """A stray mark at the beginning combines with the space before it, and that may make it visible."""
    return max(width(text), width(f" {text}") - 1) if kind(text[0]).never_first else width(text)


def _starts(text: str, phrases: Collection[int] | None, places: Sequence[TextSpan]) -> Iterator[int]:
    """Where pieces begin."""
    parted = _CjkUnits(text, phrases, places) if UNSPACED.search(text) else None
    reached = 0
    for token in TOKENS.finditer(text):
        begin, end = token.span()
        if not begin or (
            may_part(text[reached - 1], text[begin], spaced=True) and not _TRAILING.fullmatch(text, begin, end)
        ):
            yield begin
        if parted is not None:
            yield from (at for at in range(begin + 1, end) if parted.at(at))
        reached = end


class _CjkUnits:
    """Where a text with characters that need no spaces may be parted between two of them."""

    def __init__(self, text: str, phrases: Collection[int] | None, places: Sequence[TextSpan]) -> None:
        self._text = text
        self._phrases = phrases
        self._words = {place.begin for place in places} if len(places) > 1 else None
        self._loose = {at for place in places if place.end - place.begin > LONG_WORD for at in _range(place)}
        self._clusters = set(accumulate(len(cluster) for cluster in clusters(text)))

    def at(self, position: int) -> bool:
        left, right = self._text[position - 1], self._text[position]
        if position not in self._clusters or not may_part(left, right, spaced=False):
            return False
        before, after = kind(left), kind(right)
        if before.break_after:
            return True
        is_word = self._words is None or position in self._words
        is_phrase = self._phrases is not None and position in self._phrases
        if before.south_east_asian or after.south_east_asian:
            return is_word if self._words is not None else is_phrase
        if before.ideographic or after.ideographic:
            return (is_word or position in self._loose) and (is_phrase or self._phrases is None)
        return False


def _range(place: TextSpan) -> range:
    return range(place.begin + 1, place.end)


def _fitted(text: str, begin: int, end: int, max_width: int, phrases: Collection[int]) -> Iterator[tuple[int, int]]:
    """Parts of about the same width, cut between clusters, and after a mark or a phrase where there is one."""
    total = width(text[begin:end])
    share = max(2, -(-total // -(-total // max_width)))
    at, taken, good = begin, 0, begin
    position = begin
    for cluster in clusters(text[begin:end]):
        wide = width(cluster)
        if taken and taken + wide > share:
            stop = good if 2 * width(text[at:good]) > share else position
            yield from _stripped(text, at, stop)
            at, taken = stop, width(text[stop:position])
        position += len(cluster)
        taken += wide
        if position in phrases or not cluster.isalnum():
            good = position
    yield from _stripped(text, at, end)


def _stripped(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The same without spaces at its ends, unless nothing else is in it."""
    inner = text[begin:end].lstrip(" ")
    begin, inner = end - len(inner), inner.rstrip(" ")
    if inner:
        yield begin, begin + len(inner)
