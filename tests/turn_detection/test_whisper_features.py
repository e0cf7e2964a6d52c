"""The features are those of transformers, which the model was trained with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from transformers import WhisperFeatureExtractor

from steno.turn_detection.whisper_features import log_mel
from steno.types import SAMPLE_RATE
from vad.listen import recording

WINDOW = 8 * SAMPLE_RATE


def expected(audio: np.ndarray) -> np.ndarray:
    """In the double precision of transformers' numpy path; the torch path, in single precision, is up to 3e-5 off."""
    extractor = WhisperFeatureExtractor(chunk_length=8)
    (normalised,) = extractor.zero_mean_unit_var_norm([audio], attention_mask=None)
    (features,) = extractor._np_extract_fbank_features(np.array([normalised]), "cpu")
    return np.asarray(features)


def speech_behind_zeros(seconds: float) -> np.ndarray:
    audio = np.zeros(WINDOW, np.float32)
    spoken = recording("address.opus")[: round(seconds * SAMPLE_RATE)]
    audio[WINDOW - len(spoken) :] = spoken
    return audio


SOUNDS: dict[str, Callable[[], np.ndarray]] = {
    "8 s": lambda: speech_behind_zeros(8.0),
    "1.3 s": lambda: speech_behind_zeros(1.3),
    "quiet": lambda: 0.001 * speech_behind_zeros(8.0),
    "noise": lambda: np.random.default_rng(3).normal(0, 0.1, WINDOW).astype(np.float32),
    "tone": lambda: np.sin(np.arange(WINDOW, dtype=np.float32) / 7),
    "zeros": lambda: np.zeros(WINDOW, np.float32),
}


@pytest.mark.parametrize("sound", SOUNDS)
def test_the_features_are_those_of_transformers(sound: str) -> None:
    audio = SOUNDS[sound]()
    assert np.abs(log_mel(audio) - expected(audio)).max() < 1e-5
