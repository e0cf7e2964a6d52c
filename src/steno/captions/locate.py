"""Locates a segment's words in its text.

The text is shown; the words have the times. Usually the words are the text split at spaces. But recognisers drop
punctuation from words, and aligners change case or spell numbers out. Then both are compared token by token, like
`diff`; differing tokens between two matches are assigned in order.
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
    """Characters `begin` to `end` of the text, and their time."""

    begin: int
    end: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class LocatedText:
    """A stripped text, and consecutive spans that cover all of it."""

    text: str
    spans: tuple[TextSpan, ...]


def locate(segment: Segment) -> LocatedText:
    """The text of a segment (or of its words, if it has none) and the spans of its words.

    A segment without words is one span.
    """
    words = [word for word in segment.words if word.text.strip()]
    text = single_spaced(segment.text) or single_spaced(joined([word.text.strip() for word in words]))
    if not text:
        return LocatedText("", ())
    found = _in_sequence(text, words) or _by_difference(text, words)
    if not found:
        return LocatedText(text, (_whole(text, segment, words),))
    return LocatedText(text, tuple(_fill_gaps(text, found)))


def _whole(text: str, segment: Segment, words: Sequence[Word]) -> TextSpan:
    if words:
        return TextSpan(0, len(text), words[0].start_s, words[-1].end_s)
    return TextSpan(0, len(text), segment.start_s, segment.end_s)


def _in_sequence(text: str, words: Sequence[Word]) -> list[TextSpan]:
    """The words found verbatim with only white space and punctuation between them; empty if they are not."""
    spans: list[TextSpan] = []
    cursor = 0
    for word in words:
        target = single_spaced(word.text)
        begin = text.find(target, cursor)
        if begin < 0 or _LETTER.search(text, cursor, begin):
            return []
        cursor = begin + len(target)
        spans.append(TextSpan(begin, cursor, word.start_s, word.end_s))
    return [] if _LETTER.search(text, cursor) else spans


def _by_difference(text: str, words: Sequence[Word]) -> list[TextSpan]:
    text_tokens = [match.span() for match in _TOKEN.finditer(text)]
    word_tokens = [(token, n) for n, word in enumerate(words) for token in _TOKEN.findall(word.text.casefold())]
    if not text_tokens or not word_tokens:
        return []
    matcher = SequenceMatcher(None, [text[a:b].casefold() for a, b in text_tokens], [token for token, _ in word_tokens])
    owners: list[int] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what in ("equal", "replace"):
            owners += (word_tokens[c + n * (d - c) // (b - a)][1] for n in range(b - a))
        elif what == "delete":
            owners += [owners[-1] if owners else 0] * (b - a)
    spans = []
    for owner, tokens in groupby(zip(owners, text_tokens, strict=True), key=itemgetter(0)):
        extents = [extent for _, extent in tokens]
        spans.append(TextSpan(extents[0][0], extents[-1][1], words[owner].start_s, words[owner].end_s))
    return spans


def _fill_gaps(text: str, spans: Sequence[TextSpan]) -> Iterator[TextSpan]:
    """The spans extended over the text between and around them."""
    begin = 0
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        end = len(text) if following is None else _boundary(text, span.end, following.begin)
        yield TextSpan(begin, end, span.start_s, span.end_s)
        begin = end


def _boundary(text: str, end: int, begin: int) -> int:
    """Start of the next span: after the last space between the two, else before opening marks."""
    spaces = [space.end() for space in SPACES.finditer(text, end, begin)]
    if spaces:
        return spaces[-1]
    while begin > end and kind(text[begin - 1]).never_last:
        begin -= 1
    return begin
