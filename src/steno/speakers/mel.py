"""Mel spectrograms as librosa's `feature.melspectrogram` computes them: no logarithm is taken."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.audio.mel_filters import FFT, HOP, hann_window, slaney_filters

BANDS = 40


def mel_spectrogram(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Windows of samples, shape [windows, samples] → [windows, 1 + samples // 160, 40]. Frames are centred; what lies
    outside a window is zero."""
    padded = np.pad(windows, ((0, 0), (FFT // 2, FFT // 2)))
    frames = sliding_window_view(padded, FFT, axis=1)[:, ::HOP]
    spectrum = np.fft.rfft(frames * hann_window().astype(np.float32), axis=2)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    mel: NDArray[np.float32] = power.astype(np.float32) @ slaney_filters(BANDS).astype(np.float32)
    return mel
