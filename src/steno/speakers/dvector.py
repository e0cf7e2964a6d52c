"""The embedder that needs no download: the d-vector network of Resemblyzer (`data/README.md`).

`onnxruntime` is imported when the model is loaded, with one thread: parallelism is the server's, across recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steno.onnx_session import open_session
from steno.speakers.embedder import VoiceThresholds
from steno.speakers.mel import mel_spectrogram

DIMENSION = 256
WINDOWS_PER_CALL = 64
"""Bounds the memory of a call; more than this saves no time."""

LOUDNESS_DBFS = -26.0
"""Every window gets this loudness. Upstream raises quiet audio to -30 dBFS and leaves the rest: the network hears the
level, so that one speaker at two distances had two voices."""
QUIETEST_RMS = 1e-4
"""Windows below this, -80 dBFS, are not raised further."""

_MODEL = Path(__file__).parent / "data" / "dvector.onnx"


class DvectorEmbedder:
    """A `SpeakerEmbedder`. The network was trained on windows of 1.6 s."""

    dimension = DIMENSION
    thresholds = VoiceThresholds(cut_distance=0.28, same_voice=0.85, known_voice=0.8, sharpness=0.08)
    """Tuned with `benchmarks/speakers.py`, on other voices than it measures. Its vectors are not negative, so that the
    cosines of different voices are 0.4 to 0.75."""

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = [
            self._session.run(None, {"mel": mel_spectrogram(_levelled(windows[at : at + WINDOWS_PER_CALL]))})[0]
            for at in range(0, len(windows), WINDOWS_PER_CALL)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, DIMENSION), np.float32)


def _levelled(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    rms = np.sqrt(np.mean(np.square(windows), axis=1, keepdims=True))
    result: NDArray[np.float32] = (windows * (10 ** (LOUDNESS_DBFS / 20) / np.maximum(rms, QUIETEST_RMS))).astype(
        np.float32
    )
    return result
