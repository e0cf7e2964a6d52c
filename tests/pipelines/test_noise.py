"""Text for audio with hardly any speech is believed where the recogniser is sure of it."""

import pytest

from steno.pipelines.noise import without_noise
from steno.types import Hypothesis


@pytest.mark.parametrize(
    ("speech_s", "confidence", "stays"),
    [(0.1, 0.6, False), (0.29, 0.71, False), (0.1, 0.8, True), (0.1, None, True), (0.3, 0.5, True), (5.0, 0.3, True)],
)
def test_it_takes_little_speech_and_little_confidence_to_doubt_a_text(
    speech_s: float, confidence: float | None, stays: bool
) -> None:
    said = Hypothesis("Thank you for watching!", "en", confidence=confidence)
    assert without_noise(said, speech_s, 0.72) == (said if stays else Hypothesis("", None))


def test_a_recogniser_whose_confidence_says_nothing_about_noise_is_believed() -> None:
    said = Hypothesis("yes", "en", confidence=0.1)
    assert without_noise(said, 0.1, 0.0) is said
