"""What a character is to a line of text: how wide it is, and whether a line may end before it.

Widths are columns as East Asian typography counts them: a Latin letter takes one, a Chinese character, a kana, a Hangul
syllable or an emoji two, a combining mark none. What belongs together on screen (a letter and its accents, a family of
emoji) is a grapheme cluster (Unicode Standard Annex 29) and is never cut. Both come from `wcwidth`.

Line breaks follow the classes of Unicode Standard Annex 14, as `regex` knows them, in a small selection: where scripts
have no spaces a line may end, but not before a closing mark or a small kana, nor after an opening one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import regex
import wcwidth

_STICKY = "\u00a0\u2007\u202f"
"""Spaces at which no line ends."""
SPACES = re.compile(rf"[^\S{_STICKY}]+")
TOKENS = re.compile(rf"[\S{_STICKY}]+")
UNSPACED = regex.compile(r"[\p{lb=ID}\p{lb=CJ}\p{lb=EB}\p{lb=SA}\p{lb=ZW}\p{lb=B2}]")
"""What makes a break without a space possible: ideographs, kana, emoji, South-East Asian scripts, ZWSP, long dashes."""

_IDEOGRAPHIC = regex.compile(
    r"[\p{lb=ID}\p{lb=CJ}\p{lb=EB}]|[\p{lb=CL}\p{lb=OP}\p{lb=EX}\p{lb=NS}&&[\u3000-\u30ff\uff00-\uffef]]", regex.V1
)
_SOUTH_EAST_ASIAN = regex.compile(r"\p{lb=SA}")
_NEVER_FIRST = regex.compile(
    r"[\p{lb=CL}\p{lb=CP}\p{lb=EX}\p{lb=NS}\p{lb=CJ}\p{lb=IS}\p{lb=IN}\p{lb=CM}\p{lb=ZWJ}\p{lb=EM}\p{lb=PO}\p{Pf}\p{M}]"
)
_NEVER_LAST = regex.compile(r"[\p{lb=OP}\p{lb=PR}\p{lb=ZWJ}\p{Pi}¿¡]")
_GLUE = regex.compile(r"[\p{lb=GL}\p{lb=WJ}]|[\p{lb=QU}--[\p{Pi}\p{Pf}]]", regex.V1)
_BREAK_AFTER = regex.compile(r"[\p{lb=ZW}\p{lb=B2}]")


class CharKind(NamedTuple):
    """What matters of one character."""

    ideographic: bool
    south_east_asian: bool
    never_first: bool
    never_last: bool
    glue: bool
    """No break on either side, unless there is a space."""
    break_after: bool


@lru_cache(maxsize=16384)
def kind(char: str) -> CharKind:
    return CharKind(
        _IDEOGRAPHIC.match(char) is not None,
        _SOUTH_EAST_ASIAN.match(char) is not None,
        _NEVER_FIRST.match(char) is not None,
        _NEVER_LAST.match(char) is not None,
        _GLUE.match(char) is not None,
        _BREAK_AFTER.match(char) is not None,
    )


def width(text: str) -> int:
    """Columns on screen; control characters take none."""
    return wcwidth.width(text, control_codes="ignore")


def single_spaced(text: str) -> str:
    """The text without white space around it, and with a single space where there was any."""
    return SPACES.sub(" ", text.strip())


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for single characters."""
    return wcwidth.iter_graphemes(text)


def may_part(left: str, right: str, *, spaced: bool) -> bool:
    """Whether a line may end between two characters, as far as they themselves allow it."""
    before, after = kind(left), kind(right)
    if after.never_first or before.never_last:
        return False
    if after.break_after and not spaced:
        return False
    return spaced or not (before.glue or after.glue)


def needs_space(left: str, right: str) -> bool:
    """Whether two texts that nobody has joined yet need a space between them: not where either side does without."""
    before, after = kind(left), kind(right)
    return not ((before.ideographic and after.ideographic) or left.isspace() or right.isspace())


def joined(texts: list[str]) -> str:
    """Words without a text around them, as a text."""
    parts: list[str] = []
    for text in texts:
        if parts and text and needs_space(parts[-1][-1], text[0]):
            parts.append(" ")
        if text:
            parts.append(text)
    return "".join(parts)
