"""The probability that a speaker has finished, from its parts: the sound, the words, the recogniser's own punctuation,
and how long the pause is.

Each part adds to the log-odds. The weights are those of logistic regressions on speech of actors and readers, in which
ends and pauses inside sentences count the same (`LEARNING_LOG.md`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

PATIENCE_S = 0.9
"""In this time of further silence the odds of an end become e times as high. Less is quicker where a judgement was
wrong, and takes more of the long pauses for ends."""
LEAST = 1e-4
"""Probabilities of Smart Turn that are closer to 0 or 1 are no more certain than this."""


class Evidence(NamedTuple):
    """What is known of a pause. Log-odds are natural logarithms."""

    completeness: float
    """By Smart Turn, in [0, 1]."""
    punctuation: float | None = None
    """`Hypothesis.sentence_end`."""
    words: tuple[float, float] | None = None
    """`SentenceEnds.log_odds` of the recognised text."""


class Weights(NamedTuple):
    """Of log-odds: that of Smart Turn, that of the punctuation, and both of `SentenceEnds`."""

    sound: float
    bias: float
    punctuation: float = 0.0
    words: tuple[float, float] = (0.0, 0.0)


SOUND = Weights(0.2, 0.25)
"""Smart Turn is far more certain than it is right, in speech that is read."""
SOUND_AND_PUNCTUATION = Weights(0.17, -0.2, 0.65)
SOUND_AND_WORDS = Weights(0.2, 1.5, words=(0.4, 0.6))
ALL = Weights(0.12, 0.15, 0.65, (0.15, 0.45))


def turn_probability(evidence: Evidence) -> float:
    """The probability of an end, from what is known when the pause begins."""
    if evidence.words is None:
        weights = SOUND if evidence.punctuation is None else SOUND_AND_PUNCTUATION
    else:
        weights = SOUND_AND_WORDS if evidence.punctuation is None else ALL
    sentence, trigrams = evidence.words or (0.0, 0.0)
    return _probability(
        weights.bias
        + weights.sound * _log_odds(evidence.completeness)
        + weights.punctuation * (evidence.punctuation or 0.0)
        + weights.words[0] * sentence
        + weights.words[1] * trigrams
    )


def as_pause_lasts(probability: float, more_s: float) -> float:
    """What becomes of a probability of an end when the pause goes on for `more_s`."""
    return _probability(_log_odds(probability) + more_s / PATIENCE_S)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, LEAST), 1 - LEAST)
    return math.log(inside / (1 - inside))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
