from __future__ import annotations

import numpy as np
import pytest

from turn_detection.sentence_end_probe_model import fitted, shares_of, variants_of


def test_kinds_of_pauses_count_by_their_share_and_not_by_their_number() -> None:
    shares = shares_of(["end", "cut", "cut", "cut", "natural"])
    assert shares == pytest.approx([1 / 2, 1 / 12, 1 / 12, 1 / 12, 1 / 4])


def test_a_regression_finds_the_log_odds_that_it_was_drawn_from() -> None:
    chance = np.random.default_rng(1)
    inputs = chance.normal(3.0, [1.0, 20.0], (20_000, 2))
    is_end = chance.random(20_000) < 1 / (1 + np.exp(-(1.5 * inputs[:, 0] - 0.1 * inputs[:, 1] - 4)))
    weights, bias = fitted(inputs, is_end, np.full(20_000, 1 / 20_000), 1e-6)
    assert [*weights, bias] == pytest.approx([1.5, -0.1, -4], rel=0.1)


def test_variants_end_as_the_pause_does() -> None:
    chance = np.random.default_rng(2)
    audio, earlier = (chance.normal(0, 0.1, 4 * 16_000).astype(np.float32) for _ in range(2))
    whole, spread, noisy, behind, tail = variants_of(audio, [earlier[:40_000]], chance)
    assert whole is audio
    assert len(spread) == pytest.approx(len(audio), rel=0.12)
    assert 0.2 < np.corrcoef(noisy, audio)[0, 1] < 1
    assert np.array_equal(behind[40_000:], audio)
    assert len(tail) >= 16_000
    assert np.array_equal(tail, audio[-len(tail) :])
