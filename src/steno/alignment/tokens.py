"""Tokens: what two spellings of the same speech are compared by. `Don't!` → `dont`; `24` → `twenty` `four`."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex

_TOKEN = regex.compile(
    r"[\p{lb=ID}\p{lb=CJ}\p{lb=SA}]"
    r"|\p{N}+(?:[.,]\p{N}+)*"
    r"|[\p{L}\p{M}--[\p{lb=ID}\p{lb=CJ}\p{lb=SA}]]+(?:['’][\p{L}\p{M}]+)*",
    regex.V1,
)
"""A character of a script without spaces, a number, or a word with its apostrophes."""

MAX_DIGITS = 9
"""Longer numbers are compared as digits."""
FIRST_YEAR, LAST_YEAR = 1100, 2099


@dataclass(frozen=True, slots=True)
class Token:
    """A comparable word, and the part `begin` to `end` of the text that it stands for. Words of one number share it."""

    norm: str
    begin: int
    end: int


def tokens_of(text: str, language: str | None = None) -> list[Token]:
    """The tokens of a text, in order; punctuation has none. `language`: ISO 639-1, in which numbers are read."""
    return [
        Token(norm, found.start(), found.end())
        for found in _TOKEN.finditer(text)
        for norm in _norms(found.group(), language or "en")
    ]


def weight_of(norm: str) -> float:
    """How much a match of this token says: short words are common, and match by chance."""
    if len(norm) == 1:
        return 0.4 if norm.isascii() else 1.0
    return {2: 0.5, 3: 0.75}.get(len(norm), 1.0)


@lru_cache(maxsize=65_536)
def _norms(word: str, language: str) -> tuple[str, ...]:
    if word[0].isnumeric():
        return tuple(_number(word, language))
    decomposed = unicodedata.normalize("NFKD", word.casefold())
    norm = "".join(char for char in decomposed if char.isalnum())
    return (norm or word,)


def _number(digits: str, language: str) -> Iterator[str]:
    from num2words import num2words  # 25 ms: only for texts with numbers

    plain = digits.replace(",", "")
    if not plain.replace(".", "", 1).isdecimal() or len(plain) > MAX_DIGITS:
        yield digits
        return
    is_year = plain.isdecimal() and FIRST_YEAR <= int(plain) <= LAST_YEAR and plain == digits
    try:
        said = num2words(plain, lang=language, to="year" if is_year else "cardinal")
    except (NotImplementedError, TypeError, ValueError):
        try:
            said = num2words(plain, lang=language)
        except (NotImplementedError, ArithmeticError, ValueError):
            yield digits
            return
    yield from (token.norm for token in tokens_of(said, language))
