"""What is a repetition loop, and what is speech that repeats itself."""

from __future__ import annotations

import random

import pytest

from steno.backends.repetition import ENDLESS_REPEATS, MIN_REPEATS, MIN_TOKENS, loop_start


@pytest.mark.parametrize("min_repeats", [MIN_REPEATS, ENDLESS_REPEATS])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 12, 24])
def test_the_same_ngram_again_and_again_is_a_loop_and_one_of_them_is_kept(size: int, min_repeats: int) -> None:
    before, ngram = [900, 901, 902], list(range(size))
    enough = max(min_repeats, -(-MIN_TOKENS // size))
    assert loop_start(before + ngram * (enough - 1), min_repeats) is None
    start = loop_start(before + ngram * enough, min_repeats)
    assert start == len(before) + size
    assert (before + ngram * enough)[:start] == before + ngram


def test_the_shortest_ngram_wins() -> None:
    assert loop_start([7] * 40) == 1


@pytest.mark.parametrize(
    "tokens",
    [[], [1], [5] * 12, [1, 2] * 5, list(range(8)) * 4, [1, 2, 3] * 6 + [4]],
    ids=["nothing", "a token", "no no no", "ha ha", "a refrain", "a loop that has ended"],
)
def test_speech_may_repeat_itself(tokens: list[int]) -> None:
    assert loop_start(tokens, MIN_REPEATS) is None


def test_it_agrees_with_looking_at_every_tail() -> None:
    rng = random.Random(0)
    for _ in range(3000):
        ngram = [rng.randrange(3) for _ in range(rng.randrange(1, 6))]
        tokens = [rng.randrange(3) for _ in range(rng.randrange(6))] + ngram * rng.randrange(1, 25)
        expected = None
        for size in range(1, len(tokens) // MIN_REPEATS + 1):
            start = next(n for n in range(len(tokens)) if tokens[n + size :] == tokens[n:-size])
            if len(tokens) - start >= size * max(MIN_REPEATS, -(-MIN_TOKENS // size)):
                expected = start + size
                break
        assert loop_start(tokens, MIN_REPEATS) == expected, tokens
