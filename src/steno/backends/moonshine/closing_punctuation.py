"""What the model's own punctuation says about a pause: it writes a full stop where it hears that a sentence ends, and a
comma where one goes on, each with a probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steno.types import Score

SENTENCE_ENDS = frozenset(".?!。？！")
CLAUSE_ENDS = frozenset(",;:-–—…，、；：")
QUOTES = "\"'”’)」』"
"""What may follow punctuation."""
ABBREVIATIONS = ("mr.", "mrs.", "ms.", "dr.", "st.", "prof.")
"""Their full stop is part of the word."""
LEAST = 1e-3
"""Probabilities that are closer to 0 or 1 are no more certain than this."""


def closing_punctuation(text: str, scores: Sequence[Score]) -> float | None:
    """Log-odds (natural) of the punctuation behind the last word of `text`, negative for what does not end a sentence.
    None without punctuation there."""
    bare = text.rstrip(QUOTES)
    score = next((score for score in scores if score.end >= len(bare)), None)
    if score is None or bare[-1:] not in SENTENCE_ENDS | CLAUSE_ENDS or _last_word(bare) in ABBREVIATIONS:
        return None
    probability = min(max(score.probability, LEAST), 1 - LEAST)
    log_odds = math.log(probability / (1 - probability))
    return log_odds if bare[-1] in SENTENCE_ENDS and not bare.endswith("..") else -log_odds


def _last_word(text: str) -> str:
    return text.rsplit(maxsplit=1)[-1].lower()
