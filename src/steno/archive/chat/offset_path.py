"""The most likely piecewise constant offset: dynamic programming over blocks and offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEP_PENALTY = 18.0
"""Nats that a step must gain: the logarithm of how many offsets and places it could have, and a margin."""
MOVE_PENALTY = 5.0
"""Nats of a move to the neighbouring offset: drift moves a bin in many blocks."""


def best_path(scores: NDArray[np.floating]) -> tuple[NDArray[np.int64], float]:
    """The offset of each block, `[blocks]`, as an index, and the path's score. `scores` is `[blocks, offsets]`."""
    (path,), (total,) = _decode(scores[np.newaxis])
    return path, float(total)


def best_scores(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """The best paths' scores of many chats, `[chats]`. `scores` is `[chats, blocks, offsets]`."""
    return _decode(scores, traced=False)[1]


def _decode(scores: NDArray[np.floating], *, traced: bool = True) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Viterbi's algorithm for all chats at once."""
    chats, blocks, offsets = scores.shape
    value = scores[:, 0].astype(np.float64)
    origin = np.zeros((blocks, chats, offsets), dtype=np.int32) if traced else None
    here = np.arange(offsets, dtype=np.int32)
    for block in range(1, blocks):
        best = value.argmax(axis=1)
        stepped = value[np.arange(chats), best] - STEP_PENALTY
        chosen = np.maximum(value, stepped[:, np.newaxis])
        source = np.where(value >= stepped[:, np.newaxis], here, best[:, np.newaxis].astype(np.int32))
        for move in (-1, 1):
            moved = np.full_like(value, -np.inf)
            target, old = (slice(1, None), slice(None, -1)) if move > 0 else (slice(None, -1), slice(1, None))
            moved[:, target] = value[:, old] - MOVE_PENALTY
            better = moved > chosen
            chosen = np.where(better, moved, chosen)
            source = np.where(better, here - move, source)
        value = chosen + scores[:, block]
        if origin is not None:
            origin[block] = source
    paths = np.zeros((chats, blocks), dtype=np.int64)
    if origin is not None:
        paths[:, -1] = value.argmax(axis=1)
        for block in range(blocks - 1, 0, -1):
            paths[:, block - 1] = origin[block, np.arange(chats), paths[:, block]]
    return paths, value.max(axis=1)
