"""An embedder that computes each window once, for what hears the same recordings again and again."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from steno.speakers.embedder import SpeakerEmbedder


class RememberingEmbedder:
    """Returns what `embedder` returned for a window of the same samples."""

    def __init__(self, embedder: SpeakerEmbedder) -> None:
        self._embedder = embedder
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self.dimension, self.thresholds = embedder.dimension, embedder.thresholds

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        keys = [blake2b(window.tobytes()).digest() for window in windows]
        new = [n for n, key in enumerate(keys) if key not in self._known]
        self._known.update(zip((keys[n] for n in new), self._embedder.embed(windows[new]), strict=True))
        return np.array([self._known[key] for key in keys], np.float32).reshape(len(keys), self.dimension)
