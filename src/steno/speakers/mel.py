"""Mel spectrograms as librosa computes them: a power spectrum of Hann windows, and Slaney's filters.

Source: librosa 0.11, `feature.melspectrogram` and `filters.mel` with `htk=False, norm="slaney"`. No logarithm is taken.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE

FFT, HOP, BANDS = 400, 160, 40
_LINEAR_HZ, _KNEE_HZ = 200.0 / 3, 1000.0
_LOG_STEP = np.log(6.4) / 27


def mel_spectrogram(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows of samples, shape [windows, samples] → [windows, 1 + samples // 160, 40]. Frames are centred; what lies
    outside a window is zero."""
    padded = np.pad(windows, ((0, 0), (FFT // 2, FFT // 2)))
    frames = sliding_window_view(padded, FFT, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(frames * _hann(), axis=2)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel: NDArray[np.float32] = power.astype(np.float32) @ mel_filters().T
    return mel


@cache
def mel_filters() -> NDArray[np.float32]:
    """Triangular filters, shape [40, 201], each of area 1 over its frequencies in Hz."""
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)
    edges = _hz_of_mel(np.linspace(0.0, _mel_of_hz(SAMPLE_RATE / 2), BANDS + 2))
    widths = np.diff(edges)
    ramps = edges[:, None] - bins[None]
    lower = -ramps[:-2] / widths[:-1, None]
    upper = ramps[2:] / widths[1:, None]
    filters = np.maximum(0.0, np.minimum(lower, upper)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


@cache
def _hann() -> NDArray[np.float32]:
    """A periodic Hann window."""
    result: NDArray[np.float32] = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)
    return result


def _mel_of_hz(hz: float) -> float:
    """Linear below 1 kHz, logarithmic above (Slaney's Auditory Toolbox)."""
    return float(_KNEE_HZ / _LINEAR_HZ + np.log(hz / _KNEE_HZ) / _LOG_STEP) if hz >= _KNEE_HZ else hz / _LINEAR_HZ


def _hz_of_mel(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    knee = _KNEE_HZ / _LINEAR_HZ
    return np.where(mels >= knee, _KNEE_HZ * np.exp(_LOG_STEP * (mels - knee)), _LINEAR_HZ * mels)
