from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.audio.mix import CHANNEL_WEIGHTS, channel_weights


@given(st.lists(st.sampled_from([*CHANNEL_WEIGHTS, "NONE", "TFL"]), min_size=1, max_size=16))
def test_weights_are_a_mean_so_that_nothing_can_clip(names: list[str]) -> None:
    weights = channel_weights(names)
    assert len(weights) == len(names)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-6)


def test_a_layout_with_an_unknown_channel_is_the_plain_mean() -> None:
    assert channel_weights(["FL", "FR", "FC", "TFL"]).tolist() == [0.25] * 4


def test_bass_alone_is_still_heard() -> None:
    assert channel_weights(["LFE"]).tolist() == [1]
