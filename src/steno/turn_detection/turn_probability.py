"""The probability that a speaker has finished, from its parts: the sound, the words, and how long the pause is.

Each part adds to the log-odds. The weights are those of logistic regressions on speech of actors and readers, in which
ends and pauses inside sentences count the same (`LEARNING_LOG.md`).
"""

from __future__ import annotations

import math

SOUND, SENTENCE, TRIGRAMS, BIAS = 0.2, 0.4, 0.6, 1.5
"""Weights of the log-odds of Smart Turn, and of both outputs of `SentenceEnds`. Smart Turn is far more certain than it
is right, in speech that is read."""
BIAS_ALONE = 0.25
"""Takes the place of `BIAS` where there are no words."""
PATIENCE_S = 0.9
"""In this time of further silence the odds of an end become e times as high. Less is quicker where a judgement was
wrong, and takes more of the long pauses for ends."""
LEAST = 1e-4
"""Probabilities of Smart Turn that are closer to 0 or 1 are no more certain than this."""


def by_sound(completeness: float) -> float:
    """The probability of an end, from that of Smart Turn alone."""
    return _probability(SOUND * _log_odds(completeness) + BIAS_ALONE)


def by_sound_and_words(completeness: float, sentence: float, trigrams: float) -> float:
    """The probability of an end, from that of Smart Turn and the log-odds of `SentenceEnds`."""
    return _probability(SOUND * _log_odds(completeness) + SENTENCE * sentence + TRIGRAMS * trigrams + BIAS)


def as_pause_lasts(probability: float, more_s: float) -> float:
    """What becomes of a probability of an end when the pause goes on for `more_s`."""
    return _probability(_log_odds(probability) + more_s / PATIENCE_S)


def _log_odds(probability: float) -> float:
    inside = min(max(probability, LEAST), 1 - LEAST)
    return math.log(inside / (1 - inside))


def _probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-log_odds))
