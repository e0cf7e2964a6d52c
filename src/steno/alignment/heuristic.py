"""Estimates word times from a text and its time span, by the characters of each word.

Speech has a fairly constant syllable rate, and about the same information rate in every language: 39 bits a second, in
four to eight syllables (Coupé et al., Science Advances 5, 2019). So a character's weight is what it stands for: a third
of a syllable for a letter, a mora for a kana, a syllable for an ideograph or Hangul; a digit is read as a word.
Punctuation is a pause, which belongs to no word.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import accumulate

from steno.captions.endings import BreakRank
from steno.captions.script import kind, single_spaced
from steno.captions.text_units import units_of
from steno.types import Word

LETTER, KANA, SYLLABLE, DIGIT = 1.0, 2.0, 3.0, 4.0
MIN_WEIGHT = 0.5
"""Min weight of a word, for words without spoken characters such as an emoji or a dash."""
PAUSES = {BreakRank.CLAUSE: 3.0, BreakRank.SENTENCE: 5.0}
"""About 0.2 and 0.33 s at an ordinary rate: an estimate must not look like a pause that ends a cue."""
UNLIMITED_WIDTH = 1 << 30


def spread(text: str, start_s: float, end_s: float, language: str | None = None) -> tuple[Word, ...]:
    """The words of a text between two times, in order and without overlap, punctuation with the adjacent word.

    Chinese, Japanese and Thai are split into short phrases; scripts without a word splitter (Lao, Khmer, Burmese) at
    spaces. Every character except white space is in one word. If `end_s` is not after `start_s`, words have no
    duration. Raises `ValueError` if a time is not finite.
    """
    if not (abs(start_s) < float("inf") and abs(end_s) < float("inf")):
        raise ValueError(f"need finite times, got {start_s} and {end_s}")
    pieces = units_of(single_spaced(text), UNLIMITED_WIDTH, language)
    if not pieces:
        return ()
    weights = [max(sum(map(_weight, piece.text)), MIN_WEIGHT) for piece in pieces]
    pauses = [*(PAUSES.get(piece.ends, 0.0) for piece in pieces[:-1]), 0.0]
    begins = list(accumulate((weight + pause for weight, pause in zip(weights, pauses, strict=True)), initial=0.0))
    span_s = max(end_s - start_s, 0.0)

    def at(weight: float) -> float:
        return min(start_s + span_s * (weight / begins[-1]), start_s + span_s)

    return tuple(
        Word(piece.text, at(begin), at(begin + weight))
        for piece, begin, weight in zip(pieces, begins, weights, strict=False)
    )


@lru_cache(maxsize=16384)
def _weight(char: str) -> float:
    category = unicodedata.category(char)
    if category == "Nd":
        return DIGIT
    if category[0] not in "LN":
        return 0.0
    name = unicodedata.name(char, "")
    if name.startswith(("HIRAGANA", "KATAKANA")):
        return KANA
    return SYLLABLE if kind(char).ideographic or name.startswith("HANGUL SYLLABLE") else LETTER
