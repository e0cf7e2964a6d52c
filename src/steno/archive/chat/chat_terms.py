"""Terms that chat and speech may share: words, number words, pairs of characters where words are not spaced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from steno.types import Word

MAX_NUMBER = 100
"""Digits up to here are also looked for as words: countdowns, scores."""
ALIASES = {"gg": ("good game",), "wp": ("well played",), "gl": ("good luck",), "brb": ("right back",)}
"""What chat abbreviates, as it is said."""

_TERM = re.compile(r"[\w'’]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def chat_terms(text: str, language: str | None = None) -> set[str]:
    """The terms of a message."""
    terms: set[str] = set()
    for token in _tokens(text):
        terms.update(_split(token))
        terms.update(ALIASES.get(token, ()))
        if token.isdecimal() and len(token) <= len(str(MAX_NUMBER)) and (spoken := _number(int(token), language)):
            terms.add(spoken)
    return terms


def spoken_terms(words: Sequence[Word]) -> Iterator[tuple[str, float]]:
    """The terms of a transcript with the times at which they end, in order of words."""
    before = ""
    for word in words:
        for token in _tokens(word.text):
            unspaced = _UNSPACED.search(token) is not None
            yield from ((term, word.end_s) for term in _split(token))
            if before:
                joined = before[-1] + token[0] if unspaced else f"{before} {token}"
                if unspaced or joined in _SPOKEN_ALIASES:
                    yield joined, word.end_s
            before = token


_SPOKEN_ALIASES = frozenset(spoken for said in ALIASES.values() for spoken in said)


def _tokens(text: str) -> list[str]:
    return [token.strip("'’_") for token in _TERM.findall(text.casefold()) if token.strip("'’_")]


def _split(token: str) -> list[str]:
    if _UNSPACED.search(token) is None:
        return [token]
    return [token[at : at + 2] for at in range(len(token) - 1)]


@lru_cache(maxsize=1024)
def _number(value: int, language: str | None) -> str | None:
    from num2words import num2words

    try:
        return str(num2words(value, lang=language or "en")).casefold()
    except NotImplementedError:
        return None
