from __future__ import annotations

import numpy as np
import pytest

from steno.types import SAMPLE_RATE
from steno.vad.levels import frame_levels, quietest
from steno.vad.silero import FRAME


def test_levels_are_relative_to_a_full_scale_square_wave() -> None:
    assert frame_levels(np.ones(FRAME, np.float32))[0] == 0
    assert frame_levels(np.full(FRAME, 0.1, np.float32))[0] == pytest.approx(-20, abs=1e-4)
    sine = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    assert frame_levels(sine) == pytest.approx(-3.01, abs=0.01)


def test_nothing_at_all_has_a_finite_level() -> None:
    assert frame_levels(np.zeros(FRAME, np.float32)) == pytest.approx(-120)


def test_only_whole_frames_count() -> None:
    assert [len(frame_levels(np.zeros(size, np.float32))) for size in (0, 511, 512, 1023, 1024)] == [0, 0, 1, 1, 2]


def test_the_quietest_place_has_the_least_speech() -> None:
    probabilities = np.array([1, 1, 0.2, 0.2, 0.2, 1, 1, 1, 1, 1], np.float32)
    levels = np.array([-20] * 5 + [-20, -60, -60, -60, -20], np.float32)
    assert quietest(probabilities, levels) == 3


def test_in_fluent_speech_the_level_decides() -> None:
    probabilities = np.array([0.99, 0.98, 1, 1, 1, 0.97, 0.99], np.float32)
    levels = np.array([-20, -20, -35, -36, -35, -20, -20], np.float32)
    assert quietest(probabilities, levels) == 3


def test_a_single_silent_frame_is_the_closure_of_a_consonant() -> None:
    levels = np.array([-20, -20, -70, -20, -20, -40, -40, -40, -20], np.float32)
    assert quietest(np.ones(9, np.float32), levels) == 6
