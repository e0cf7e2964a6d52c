"""Which part of a segment's text each of its words is.

The text is what people read; words have the times. Usually the words are the text, cut at its spaces. But recognisers
drop punctuation from words, aligners change the case or spell numbers out. Then both are compared token by token, as
`diff` does; what differs between two tokens that agree is shared out in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from operator import itemgetter

import regex

from steno.captions.script import SPACES, joined, kind, single_spaced
from steno.types import Segment, Word

_LETTER = re.compile(r"[^\W_]")
_TOKEN = regex.compile(r"[\p{lb=ID}\p{lb=CJ}\p{lb=SA}]|[\p{L}\p{N}\p{M}--[\p{lb=ID}\p{lb=CJ}\p{lb=SA}]]+", regex.V1)


@dataclass(frozen=True, slots=True)
class TextSpan:
    """Characters `begin` to `end` of the text, and what is known of their time."""

    begin: int
    end: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class LocatedText:
    """A text without white space around it, and places that together are all of it, in order."""

    text: str
    places: tuple[TextSpan, ...]


def locate(segment: Segment) -> LocatedText:
    """The text of a segment (that of its words, if it has none of its own) and where its words are in it.

    A segment without words is one place.
    """
    words = [word for word in segment.words if word.text.strip()]
    text = single_spaced(segment.text) or single_spaced(joined([word.text.strip() for word in words]))
    if not text:
        return LocatedText("", ())
    found = _in_sequence(text, words) or _by_difference(text, words)
    if not found:
        return LocatedText(text, (_all(text, segment, words),))
    return LocatedText(text, tuple(_tiled(text, found)))


def _all(text: str, segment: Segment, words: Sequence[Word]) -> TextSpan:
    if words:
        return TextSpan(0, len(text), words[0].start_s, words[-1].end_s)
    return TextSpan(0, len(text), segment.start_s, segment.end_s)


def _in_sequence(text: str, words: Sequence[Word]) -> list[TextSpan]:
    """Each word as it stands, with nothing but white space and punctuation between; empty if that is not so."""
    places: list[TextSpan] = []
    cursor = 0
    for word in words:
        wanted = single_spaced(word.text)
        begin = text.find(wanted, cursor)
        if begin < 0 or _LETTER.search(text, cursor, begin):
            return []
        cursor = begin + len(wanted)
        places.append(TextSpan(begin, cursor, word.start_s, word.end_s))
    return [] if _LETTER.search(text, cursor) else places


def _by_difference(text: str, words: Sequence[Word]) -> list[TextSpan]:
    here = [match.span() for match in _TOKEN.finditer(text)]
    there = [(token, n) for n, word in enumerate(words) for token in _TOKEN.findall(word.text.casefold())]
    if not here or not there:
        return []
    matcher = SequenceMatcher(None, [text[a:b].casefold() for a, b in here], [token for token, _ in there])
    owners: list[int] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what in ("equal", "replace"):
            owners += (there[c + n * (d - c) // (b - a)][1] for n in range(b - a))
        elif what == "delete":
            owners += [owners[-1] if owners else 0] * (b - a)
    places = []
    for owner, tokens in groupby(zip(owners, here, strict=True), key=itemgetter(0)):
        extents = [extent for _, extent in tokens]
        places.append(TextSpan(extents[0][0], extents[-1][1], words[owner].start_s, words[owner].end_s))
    return places


def _tiled(text: str, places: Sequence[TextSpan]) -> Iterator[TextSpan]:
    """The places grown over what is between and around them."""
    begin = 0
    for place, following in zip(places, [*places[1:], None], strict=True):
        end = len(text) if following is None else _border(text, place.end, following.begin)
        yield TextSpan(begin, end, place.start_s, place.end_s)
        begin = end


def _border(text: str, end: int, begin: int) -> int:
    """Where the next place begins: after the last space between the two, else before marks that open something."""
    spaces = [space.end() for space in SPACES.finditer(text, end, begin)]
    if spaces:
        return spaces[-1]
    while begin > end and kind(text[begin - 1]).never_last:
        begin -= 1
    return begin
