"""Log-mel features of Whisper, with numpy alone: what the turn detector reads.

The formulas are those of transformers' `WhisperFeatureExtractor` (`feature_extraction_whisper.py`, `audio_utils.py`):
frames of 25 ms every 10 ms, periodic Hann window, power spectrum, 80 mel bands on Slaney's scale, log10, clamped at
8 below the maximum. The features equal those of `WhisperFeatureExtractor` within 1e-5 (`tests/vad`).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

N_FFT = 400
HOP = 160
BANDS = 80
FLOOR = 1e-10
MIN_VARIANCE = 1e-7
"""Added to the variance of the waveform, as in `zero_mean_unit_var_norm`."""


def log_mel(audio: Audio) -> NDArray[np.float32]:
    """Features of `audio`, normalised to zero mean and unit variance first. Shape [80, samples // 160]."""
    waveform = (audio - audio.mean()) / np.sqrt(audio.var() + MIN_VARIANCE)
    padded = np.pad(waveform.astype(np.float64), N_FFT // 2, mode="reflect")
    frames = sliding_window_view(padded, N_FFT)[::HOP][:-1]  # Whisper drops the last frame
    spectrum = np.fft.rfft(frames * _hann_window())
    power = spectrum.real**2 + spectrum.imag**2
    mel = np.log10(np.maximum(power @ _mel_filters(), FLOOR)).T
    features: NDArray[np.float32] = ((np.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0).astype(np.float32)
    return features


@cache
def _hann_window() -> NDArray[np.float64]:
    return np.hanning(N_FFT + 1)[:-1]


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Triangular filters of equal area, shape [201, 80]."""
    edges_hz = _hz_of(np.linspace(0.0, _mel_of(SAMPLE_RATE / 2), BANDS + 2))
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    distances = edges_hz - bins_hz[:, None]
    widths = np.diff(edges_hz)
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))
    return filters


LINEAR_UNTIL_HZ, LINEAR_UNTIL_MEL, HZ_PER_MEL = 1000.0, 15.0, 200.0 / 3.0
LOG_STEP = np.log(6.4) / 27.0
"""Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic above."""


def _mel_of(hz: float) -> float:
    """The mels of a frequency above 1 kHz."""
    return LINEAR_UNTIL_MEL + float(np.log(hz / LINEAR_UNTIL_HZ)) / float(LOG_STEP)


def _hz_of(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = LINEAR_UNTIL_HZ * np.exp(LOG_STEP * (mels - LINEAR_UNTIL_MEL))
    return np.where(mels < LINEAR_UNTIL_MEL, HZ_PER_MEL * mels, logarithmic)
