"""Log-mel features of Whisper, with numpy alone: what the turn detector reads.

The formulas are those of transformers' `WhisperFeatureExtractor` (`feature_extraction_whisper.py`, `audio_utils.py`):
frames of 25 ms every 10 ms, periodic Hann window, power spectrum, 80 mel bands on Slaney's scale, log10, clamped at
8 below the maximum. The features equal those of `WhisperFeatureExtractor` within 1e-5 (`tests/vad`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.audio.mel_filters import FFT, HOP, hann_window, slaney_filters

if TYPE_CHECKING:
    from steno.types import Audio

BANDS = 80
FLOOR = 1e-10
MIN_VARIANCE = 1e-7
"""Added to the variance of the waveform, as in `zero_mean_unit_var_norm`."""


def log_mel(audio: Audio) -> NDArray[np.float32]:
    """Features of `audio`, normalised to zero mean and unit variance first. Shape [80, samples // 160]."""
    waveform = (audio - audio.mean()) / np.sqrt(audio.var() + MIN_VARIANCE)
    padded = np.pad(waveform.astype(np.float64), FFT // 2, mode="reflect")
    frames = sliding_window_view(padded, FFT)[::HOP][:-1]  # Whisper drops the last frame
    spectrum = np.fft.rfft(frames * hann_window())
    power = spectrum.real**2 + spectrum.imag**2
    mel = np.log10(np.maximum(power @ slaney_filters(BANDS), FLOOR)).T
    features: NDArray[np.float32] = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return features
