"""Where several people speak at once: pyannote's segmentation network, which steno ships (`data/README.md`)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.onnx_session import open_session
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

CHUNK, STEP = 10 * SAMPLE_RATE, 5 * SAMPLE_RATE
"""The network takes chunks of 10 s; each moment lies in two, except at the ends of the audio."""
FRAME_S = 0.016875
FIRST_PAIR = 4
"""The network's classes are silence, each of three speakers alone, and from here on two of them."""
MIN_PROBABILITY, MIN_OVERLAP_S = 0.5, 0.15

_MODEL = Path(__file__).parent / "data" / "segmentation.onnx"


class OverlapDetector:
    """Calls may run in several threads at once."""

    def __init__(self) -> None:
        self._session = open_session(_MODEL)

    def overlaps(self, audio: Audio) -> list[tuple[float, float]]:
        """Start and end, in seconds of `audio`, of each stretch in which several speak, in order."""
        frames = round(len(audio) / SAMPLE_RATE / FRAME_S)
        total, weights = np.zeros(frames), np.full(frames, 1e-9)
        for start in range(0, max(1, len(audio) - STEP), STEP):
            chunk = np.zeros((1, CHUNK), np.float32)
            part = audio[start : start + CHUNK]
            chunk[0, : len(part)] = part
            classes: NDArray[np.float32] = self._session.run(None, {"audio": chunk})[0][0]
            first = round(start / SAMPLE_RATE / FRAME_S)
            heard = min(len(classes), frames - first)
            weight = np.hamming(len(classes))[:heard]
            total[first : first + heard] += classes[:heard, FIRST_PAIR:].sum(axis=1) * weight
            weights[first : first + heard] += weight
        several = np.concatenate([[False], total / weights > MIN_PROBABILITY, [False]])
        edges = np.flatnonzero(np.diff(several.astype(np.int8))) * FRAME_S
        return [(start, end) for start, end in edges.reshape(-1, 2).tolist() if end - start >= MIN_OVERLAP_S]


@cache
def overlap_detector() -> OverlapDetector:
    """The process's, loaded at the first call."""
    return OverlapDetector()
