"""Kaldi's log mel filter banks, as `torchaudio.compliance.kaldi.fbank` computes them without dither."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE

BANDS, FRAME, HOP, FFT = 80, 400, 160, 512
LOW_HZ = 20.0
PRE_EMPHASIS = 0.97

Taper = Callable[[int], NDArray[np.float64]]


def povey(size: int) -> NDArray[np.float64]:
    """Kaldi's default window: a Hann window to the power of 0.85."""
    return np.hanning(size) ** 0.85


def filter_banks(windows: NDArray[np.float32], taper: Taper = np.hamming) -> NDArray[np.float32]:
    """Windows of samples, shape [windows, samples] → [windows, frames, 80]: frames of 25 ms every 10 ms, with each
    band's mean over the window subtracted. Powers below float32's epsilon count as that."""
    frames = sliding_window_view(windows, FRAME, axis=1)[:, ::HOP].astype(np.float64)
    frames = frames - frames.mean(axis=2, keepdims=True)
    before = np.concatenate([frames[..., :1], frames[..., :-1]], axis=2)
    spectrum = np.fft.rfft((frames - PRE_EMPHASIS * before) * taper(FRAME), FFT, axis=2)
    power = np.square(np.abs(spectrum))[..., : FFT // 2]
    banks = np.log(np.maximum(power @ _mel_filters().T, np.finfo(np.float32).eps))
    result: NDArray[np.float32] = (banks - banks.mean(axis=1, keepdims=True)).astype(np.float32)
    return result


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Triangles that are straight in mels, from 20 Hz to 8 kHz, shape [80, 256]."""

    def mel(hz: Any) -> Any:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    bins = mel(np.arange(FFT // 2) * SAMPLE_RATE / FFT)
    edges = np.linspace(mel(LOW_HZ), mel(SAMPLE_RATE / 2), BANDS + 2)
    width = edges[1] - edges[0]
    rising = (bins[None] - edges[:-2, None]) / width
    falling = (edges[2:, None] - bins[None]) / width
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    return filters
