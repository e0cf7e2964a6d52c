"""The probability that a speaker has finished, from its parts: what the recogniser makes of its end or, without that,
its sound; the words; and how long the pause is.

Each part adds to the log-odds. The weights are those of logistic regressions on speech of actors and readers, in which
ends and pauses inside sentences count the same (`LEARNING_LOG.md`).
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

PATIENCE_S = 0.9
"""In this time of further silence the odds of an end become e times as high. Less is quicker where a judgement was
wrong, and takes more of the long pauses for ends."""
LEAST = 1e-4
"""Probabilities of Smart Turn that are closer to 0 or 1 are no more certain than this."""


class Weights(NamedTuple):
    """Of log-odds: those of Smart Turn or of the recogniser, and both of `SentenceEnds`."""

    hearing: float
    bias: float
    words: tuple[float, float] = (0.0, 0.0)


SOUND = Weights(0.2, 0.25)
"""Smart Turn is far more certain than it is right, in speech that is read."""
SOUND_AND_WORDS = Weights(0.2, 1.5, (0.4, 0.6))
RECOGNISER = Weights(1.0, 0.0)
RECOGNISER_AND_WORDS = Weights(0.92, 0.59, (0.21, 0.23))

Words: TypeAlias = "tuple[float, float]"
"""`SentenceEnds.log_odds` of the recognised text."""


def by_sound(completeness: float, words: Words | None = None) -> float:
    """The probability of an end when the pause begins; `completeness`: by Smart Turn, in [0, 1]."""
    return _weighted(SOUND if words is None else SOUND_AND_WORDS, _log_odds(completeness), words)


def by_recogniser(sentence_end: float, words: Words | None = None) -> float:
    """The probability of an end when the pause begins; `sentence_end`: of the `Hypothesis`."""
    return _weighted(RECOGNISER if words is None else RECOGNISER_AND_WORDS, sentence_end, words)


def _weighted(weights: Weights, hearing: float, words: Words | None) -> float:
    sentence, trigrams = words or (0.0, 0.0)
    log_odds = weights.hearing * hearing + weights.words[0] * sentence + weights.words[1] * trigrams
    return _probability(weights.bias + log_odds)


def as_pause_lasts(probability: float, more_s: float) -> float:
    """What becomes of a probability of an end when the pause goes on for `more_s`."""
    return _probability(_log_odds(probability) + more_s / PATIENCE_S)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, LEAST), 1 - LEAST)
    return math.log(inside / (1 - inside))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
