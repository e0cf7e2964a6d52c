"""Ranks a break after a piece of text: end of a sentence, of a clause, of a phrase, or none."""

from __future__ import annotations

import re
from enum import IntEnum

from steno.captions.script import kind


class BreakRank(IntEnum):
    """Rank of a break; higher is better."""

    INSIDE = 0
    """Within a word that is too long for a line."""
    PLAIN = 1
    PHRASE = 2
    """Before a conjunction, a preposition, a bracket or a quotation."""
    CLAUSE = 3
    SENTENCE = 4


_CLOSERS = "\"'”’»›)]}」』）】》〉\u200e\u200f\u061c\u2069\u202c"
_FULL_STOPS = tuple("?!。？！｡؟۔।॥።။៕‼⁇⁈⁉…")
_CLAUSE_MARKS = tuple(",;:،؛、，；：–—")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|etc|ca|bzw|gen|gov|capt|lt|col|sgt|rev|hon|mme|mlle)"
    r"|\b[^\W\d_]|\.[^\W\d_]+)\.$",
    re.IGNORECASE,
)
_BEFORE_NUMBER = re.compile(r"\b(?:no|nr|fig|vol|p|pp|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.$", re.IGNORECASE)

_OPENERS = re.compile(r"[(\[{«‹“‘„「『（【《〈¿¡]")
_LINKS = """
    and but or nor because that which who whom whose when while where if unless until although though than as
    of in on at to for from with without by into onto over under about after before between through during since
    und aber oder denn weil dass daß wenn als ob obwohl während
    der im am um zu mit von vom bei beim nach aus durch für
    et mais ou car que qui quand lorsque dont où parce puisque de du des à au aux dans sur sous avec sans pour par
    y e pero mas porque cuando mientras donde quien cual en con sin para por entre hasta desde
    quando onde quem em com sem até di da che ma perché dove per tra fra
"""
LINKS = frozenset(_LINKS.split())
"""Conjunctions and prepositions: a line may end before one, but not after. One set for all languages: clashes are
harmless."""


def break_rank(text: str, following: str, *, spaced: bool, cased: bool) -> BreakRank:
    """Rank of a break after `text`, before `following`.

    Args:
        spaced: whether there is a space between the two.
        cased: whether the text has capital letters, so that a lower-case one means that the sentence continues.
    """
    stripped = text.rstrip(_CLOSERS)
    last = stripped[-1:]
    if last == "." or last in _FULL_STOPS:
        if last == "." and _is_abbreviation(stripped, following):
            return BreakRank.PLAIN
        return BreakRank.CLAUSE if cased and _continues(following) else BreakRank.SENTENCE
    if last in _CLAUSE_MARKS or (len(stripped) < len(text) and text[-1] not in "\"'’"):
        return BreakRank.CLAUSE
    if spaced and _without_spaces(text[-1]) and _without_spaces(following[:1]):
        return BreakRank.CLAUSE
    return BreakRank.PHRASE if following.lower() in LINKS or _OPENERS.match(following) else BreakRank.PLAIN


def ends_sentence(text: str, following: str) -> bool:
    """Whether a sentence ends with `text`, before `following`: not after an abbreviation such as "Mr."."""
    return break_rank(text, following, spaced=True, cased=False) is BreakRank.SENTENCE


def _is_abbreviation(text: str, following: str) -> bool:
    if text.endswith(".."):
        return False
    if following[:1].isdigit() and _BEFORE_NUMBER.search(text):
        return True
    return _ABBREVIATION.search(text) is not None


def _continues(following: str) -> bool:
    letter = following.lstrip("\"'“‘«‹([{「『（")[:1]
    return letter.islower()


def _without_spaces(char: str) -> bool:
    """Whether the script has no spaces, so that a space acts as punctuation."""
    return bool(char) and (kind(char).ideographic or kind(char).south_east_asian)
