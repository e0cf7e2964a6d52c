"""The embedder that needs no download: 3D-Speaker's CAM++ network (`data/README.md`).

`onnxruntime` is imported when the model is loaded, with one thread: parallelism is the server's, across recordings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steno.onnx_session import open_session
from steno.speakers.embedder import MARGIN_SCALE, embedded
from steno.speakers.filter_banks import filter_banks, povey

DIMENSION = 192
WINDOWS_PER_CALL = 32
"""Bounds the memory of a call; more than this saves no time."""

LOUDNESS_DBFS = -26.0
"""Every window gets this loudness, because filter banks have a floor: quiet audio would lie below it."""
QUIETEST_RMS = 1e-4
"""Windows below this, -80 dBFS, are not raised further."""

_MODEL = Path(__file__).parent / "data" / "campplus.onnx"


class CampplusEmbedder:
    """A `SpeakerEmbedder`."""

    dimension = DIMENSION
    thresholds = MARGIN_SCALE

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return embedded(windows, self._run, DIMENSION, WINDOWS_PER_CALL)

    def _run(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._session.run(None, {"banks": filter_banks(_levelled(windows), povey)})[0]
        return found


def _levelled(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    rms = np.sqrt(np.mean(np.square(windows), axis=1, keepdims=True))
    result: NDArray[np.float32] = (windows * (10 ** (LOUDNESS_DBFS / 20) / np.maximum(rms, QUIETEST_RMS))).astype(
        np.float32
    )
    return result
