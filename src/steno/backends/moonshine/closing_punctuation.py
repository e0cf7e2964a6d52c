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
LEAST = 1e-3
"""Probabilities that are closer to 0 or 1 are no more certain than this."""


def sentence_end(text: str, scores: Sequence[Score]) -> float | None:
    """Log-odds (natural) that a sentence ends after the last word of `text`; None without punctuation there."""
    bare = text.rstrip(QUOTES)
    if not scores or bare[-1:] not in SENTENCE_ENDS | CLAUSE_ENDS:
        return None
    probability = min(max(scores[-1].probability, LEAST), 1 - LEAST)
    log_odds = math.log(probability / (1 - probability))
    return log_odds if bare[-1] in SENTENCE_ENDS and not bare.endswith("..") else -log_odds
