"""Slaney's mel filters and the window before them, as librosa and transformers compute them, with numpy alone.

Source: librosa 0.11, `filters.mel` with `htk=False, norm="slaney"`; the same as `mel_filter_bank` of transformers.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from steno.types import SAMPLE_RATE

FFT, HOP = 400, 160
"""Samples of a frame, and between frames: 25 and 10 ms."""
LINEAR_UNTIL_HZ, LINEAR_UNTIL_MEL, HZ_PER_MEL = 1000.0, 15.0, 200.0 / 3.0
LOG_STEP = np.log(6.4) / 27.0
"""Slaney's scale (Auditory Toolbox, 1998): linear up to 1 kHz, logarithmic above."""


@cache
def hann_window() -> NDArray[np.float64]:
    """Periodic, for frames of `FFT` samples."""
    return np.hanning(FFT + 1)[:-1]


@cache
def slaney_filters(bands: int) -> NDArray[np.float64]:
    """Triangular filters of equal area from 0 Hz to 8 kHz, shape [201, bands]."""
    edges_hz = _hz_of(np.linspace(0.0, _mel_of(SAMPLE_RATE / 2), bands + 2))
    bins_hz = np.linspace(0.0, SAMPLE_RATE / 2, FFT // 2 + 1)
    distances = edges_hz - bins_hz[:, None]
    widths = np.diff(edges_hz)
    rising, falling = -distances[:, :-2] / widths[:-1], distances[:, 2:] / widths[1:]
    filters: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges_hz[2:] - edges_hz[:-2]))
    return filters


def _mel_of(hz: float) -> float:
    """The mels of a frequency above 1 kHz."""
    return LINEAR_UNTIL_MEL + float(np.log(hz / LINEAR_UNTIL_HZ)) / float(LOG_STEP)


def _hz_of(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    logarithmic = LINEAR_UNTIL_HZ * np.exp(LOG_STEP * (mels - LINEAR_UNTIL_MEL))
    return np.where(mels < LINEAR_UNTIL_MEL, HZ_PER_MEL * mels, logarithmic)
