from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.encode import tone
from steno.audio.resample import Resampler
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

RATES = [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000]


def resampled(audio: Audio, rate: int, cuts: list[int]) -> Audio:
    resampler = Resampler(rate)
    bounds = [0, *sorted(cut % (len(audio) + 1) for cut in cuts), len(audio)]
    parts = [resampler.feed(audio[a:b]) for a, b in itertools.pairwise(bounds)]
    return np.concatenate([*parts, resampler.flush()])


@given(st.sampled_from(RATES), st.integers(0, 5000), st.lists(st.integers(0, 5000), max_size=20))
def test_any_split_gives_the_same_samples(rate: int, size: int, cuts: list[int]) -> None:
    audio = np.random.default_rng(size).uniform(-0.5, 0.5, size).astype(np.float32)
    assert np.array_equal(resampled(audio, rate, cuts), resampled(audio, rate, []))


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_length_and_its_phase(rate: int) -> None:
    heard = resampled(tone(1, rate, hertz=500), rate, [100, 999])
    assert len(heard) == SAMPLE_RATE
    assert np.abs(heard - tone(1, SAMPLE_RATE, hertz=500))[500:-500].max() < 1e-3


def test_after_a_flush_another_stream_begins() -> None:
    resampler, audio = Resampler(48_000), tone(0.2, 48_000)
    first = np.concatenate([resampler.feed(audio), resampler.flush()])
    second = np.concatenate([resampler.feed(audio), resampler.flush()])
    assert np.array_equal(first, second)
    assert len(resampler.flush()) == 0


def test_the_delay_is_short_enough_for_live_use() -> None:
    resampler = Resampler(48_000)
    heard = sum(len(resampler.feed(tone(0.02, 48_000))) for _ in range(50))
    assert heard / SAMPLE_RATE > 1 - 0.05


@pytest.mark.parametrize("rate", [0, -1, 3999, 384_001])
def test_rates_that_nobody_records_at_are_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="4000 to 384000 Hz"):
        Resampler(rate)
