"""Word confidences from the probabilities of the tokens (logprobs) of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from steno.types import Score, Word

MIN_PROBABILITY = 1e-9


def scored(words: Sequence[Word], text: str, scores: Sequence[Score]) -> tuple[Word, ...]:
    """`words` with confidences: the geometric mean of the probabilities of each word's parts.

    `scores` are those of `text`; words that are not found in it, in order, stay unchanged.
    """
    if not scores:
        return tuple(words)
    found: list[Word] = []
    position = 0
    for word in words:
        start = text.find(word.text, position)
        if start >= 0:
            position = start + len(word.text)
            word = replace(word, confidence=mean(within(scores, start, position)))
        found.append(word)
    return tuple(found)


def within(scores: Sequence[Score], start: int, end: int) -> tuple[Score, ...]:
    """The scores of `text[start:end]`, relative to `start`."""
    begins = [0, *(score.end for score in scores)]
    return tuple(
        Score(min(score.end, end) - start, score.probability)
        for begin, score in zip(begins, scores, strict=False)
        if score.end > start and begin < end
    )


def mean(scores: Sequence[Score]) -> float | None:
    """The geometric mean of the probabilities; None if there are none."""
    if not scores:
        return None
    return math.exp(sum(math.log(max(score.probability, MIN_PROBABILITY)) for score in scores) / len(scores))
