"""Character properties for line breaking: width, and where a line may break.

Widths are columns as East Asian typography counts them: a Latin letter takes one, a Chinese character, a kana, a Hangul
syllable or an emoji two, a combining mark none. A grapheme cluster (a letter with accents, an emoji sequence; Unicode
Standard Annex 29) is never cut. Both come from `wcwidth`.

Line breaks follow the classes of Unicode Standard Annex 14, as `regex` defines them, reduced: in scripts without spaces
a line may break anywhere except before a closing mark or a small kana, and after an opening one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import regex

_NO_BREAK_SPACES = "\u00a0\u2007\u202f"
"""Non-breaking spaces."""
SPACES = re.compile(rf"[^\S{_NO_BREAK_SPACES}]+")
TOKENS = re.compile(rf"[\S{_NO_BREAK_SPACES}]+")
UNSPACED = regex.compile(r"[\p{lb=ID}\p{lb=CJ}\p{lb=EB}\p{lb=SA}\p{lb=ZW}\p{lb=B2}]")
"""Characters that allow a break without a space: ideographs, kana, emoji, South-East Asian scripts, ZWSP, dashes."""

_IDEOGRAPHIC = regex.compile(
    r"[\p{lb=ID}\p{lb=CJ}\p{lb=EB}]|[\p{lb=CL}\p{lb=OP}\p{lb=EX}\p{lb=NS}&&[\u3000-\u30ff\uff00-\uffef]]", regex.V1
)
_SOUTH_EAST_ASIAN = regex.compile(r"\p{lb=SA}")
_NEVER_FIRST = regex.compile(
    r"[\p{lb=CL}\p{lb=CP}\p{lb=EX}\p{lb=NS}\p{lb=CJ}\p{lb=IS}\p{lb=IN}\p{lb=CM}\p{lb=ZWJ}\p{lb=EM}\p{lb=PO}\p{Pf}\p{M}]"
)
_NEVER_LAST = regex.compile(r"[\p{lb=OP}\p{lb=PR}\p{lb=ZWJ}\p{Pi}¿¡]")
_NO_BREAK = regex.compile(r"[\p{lb=GL}\p{lb=WJ}]|[\p{lb=QU}--[\p{Pi}\p{Pf}]]", regex.V1)
_BREAK_AFTER = regex.compile(r"[\p{lb=ZW}\p{lb=B2}]")


class CharKind(NamedTuple):
    """Line-breaking properties of one character."""

    ideographic: bool
    south_east_asian: bool
    never_first: bool
    never_last: bool
    no_break: bool
    """No break on either side, unless there is a space."""
    break_after: bool


@lru_cache(maxsize=16384)
def kind(char: str) -> CharKind:
    return CharKind(
        _IDEOGRAPHIC.match(char) is not None,
        _SOUTH_EAST_ASIAN.match(char) is not None,
        _NEVER_FIRST.match(char) is not None,
        _NEVER_LAST.match(char) is not None,
        _NO_BREAK.match(char) is not None,
        _BREAK_AFTER.match(char) is not None,
    )


def width(text: str) -> int:
    """Columns on screen; control characters take none."""
    import wcwidth  # its tables are 6 MB, which an idle server does without

    return wcwidth.width(text, control_codes="ignore")


def single_spaced(text: str) -> str:
    """The text stripped, with each run of white space as a single space."""
    return SPACES.sub(" ", text.strip())


def clusters(text: str) -> Iterator[str]:
    """Grapheme clusters: what a reader perceives as characters."""
    import wcwidth

    return wcwidth.iter_graphemes(text)


def may_break(left: str, right: str, *, spaced: bool) -> bool:
    """Whether these two characters allow a line break between them."""
    before, after = kind(left), kind(right)
    if after.never_first or before.never_last:
        return False
    if after.break_after and not spaced:
        return False
    return spaced or not (before.no_break or after.no_break)


def needs_space(left: str, right: str) -> bool:
    """Whether two texts need a space when they are joined: not between ideographs or next to a space."""
    before, after = kind(left), kind(right)
    return not ((before.ideographic and after.ideographic) or left.isspace() or right.isspace())


def joined(texts: list[str]) -> str:
    """Words joined into a text."""
    parts: list[str] = []
    for text in texts:
        if parts and text and needs_space(parts[-1][-1], text[0]):
            parts.append(" ")
        if text:
            parts.append(text)
    return "".join(parts)
