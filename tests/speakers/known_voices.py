"""The shipped embedder, which computes each window once: tests of the same recordings differ in what follows."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from steno.speakers.campplus import CampplusEmbedder


class RememberingEmbedder(CampplusEmbedder):
    """Returns the embedding that it computed for a window of the same samples."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, NDArray[np.float32]] = {}

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        keys = [blake2b(window.tobytes()).digest() for window in windows]
        new = [n for n, key in enumerate(keys) if key not in self._known]
        self._known.update(zip((keys[n] for n in new), super().embed(windows[new]), strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else super().embed(windows)
