from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from steno.turn_detection.smart_turn import WINDOW, SmartTurn
from steno.types import SAMPLE_RATE
from vad.listen import recording

PAUSE = np.zeros(round(0.2 * SAMPLE_RATE), np.float32)


@pytest.fixture(scope="module")
def detector() -> SmartTurn:
    return SmartTurn()


def spoken(name: str, until_s: float) -> np.ndarray:
    return np.concatenate([recording(name)[: round(until_s * SAMPLE_RATE)], PAUSE])


def test_a_finished_sentence_is_complete_and_one_that_stops_at_an_article_is_not(detector: SmartTurn) -> None:
    assert detector.completeness(spoken("meeting.flac", 4.6)) > 0.9  # … on the twenty third of March.
    assert detector.completeness(spoken("meeting.flac", 2.14)) < 0.1  # Mister Thomas Brown will meet the
    assert detector.completeness(spoken("weather.flac", 2.84)) < 0.1  # … in the morning, with a


def test_only_the_last_eight_seconds_count(detector: SmartTurn) -> None:
    audio = recording("address.opus")[: 20 * SAMPLE_RATE]
    assert detector.completeness(audio) == detector.completeness(audio[-WINDOW:])


def test_a_shorter_utterance_is_one_with_silence_before_it(detector: SmartTurn) -> None:
    audio = spoken("letter.flac", 2.0)
    behind_silence = np.concatenate([np.zeros(WINDOW - len(audio), np.float32), audio])
    assert detector.completeness(audio) == detector.completeness(behind_silence)


def test_several_threads_judge_as_one_does(detector: SmartTurn) -> None:
    audio = spoken("letter.flac", 3.0)
    expected = detector.completeness(audio)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: detector.completeness(audio), range(8))) == {expected}
