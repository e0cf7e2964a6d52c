"""The features are those of transformers, which the model was trained with."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "audio",
    [
        speech_behind_zeros(8.0),
        speech_behind_zeros(1.3),
        0.001 * speech_behind_zeros(8.0),
        np.random.default_rng(3).normal(0, 0.1, WINDOW).astype(np.float32),
        np.sin(np.arange(WINDOW, dtype=np.float32) / 7),
        np.zeros(WINDOW, np.float32),
    ],
    ids=["8 s", "1.3 s", "quiet", "noise", "tone", "zeros"],
)
def test_the_features_are_those_of_transformers(audio: np.ndarray) -> None:
    assert np.abs(log_mel(audio) - expected(audio)).max() < 1e-5
