"""Who speaks when: the most likely path through the speakers, in steps of a tenth of a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from steno.speakers.voice_windows import WINDOW_S

STEP_S = 0.1
SWITCH_COST = 0.6
"""What a change of speakers costs within speech, as a sum of cosines over steps; half of it in a pause."""


@dataclass(frozen=True, slots=True)
class SpeakerTurn:
    """Speech of one speaker, without a pause."""

    start_s: float
    end_s: float
    speaker: int
    """Its index among the centroids."""
    confidence: float
    """How clearly it is this speaker's voice, in (0, 1]: not a calibrated probability."""


def turns_of(
    regions: Sequence[tuple[float, float]],
    extents: NDArray[np.float64],
    cosines: NDArray[np.float32],
    sharpness: float,
) -> list[SpeakerTurn]:
    """The turns of all regions, in order.

    Args:
        regions: where there is speech, in order.
        extents: start and end of each window, shape [windows, 2], in order. A region has those that overlap it.
        cosines: of each window and each speaker, shape [windows, speakers].
        sharpness: as in `VoiceThresholds`.
    """
    if not cosines.size:
        return []
    steps: list[tuple[float, float]] = []
    scores: list[NDArray[np.float32]] = []
    for start_s, end_s in regions:
        edges = [*np.arange(start_s, end_s, STEP_S).tolist(), end_s]
        first, last = np.searchsorted(extents[:, 0], (start_s - WINDOW_S, end_s - 1e-3))
        heard = first + np.flatnonzero(extents[first:last, 1] > start_s + 1e-3)
        if len(heard) and len(edges) > 1:
            steps += pairwise(edges)
            scores.append(_scores(np.array(edges), extents[heard].mean(axis=1), cosines[heard]))
    return _joined(steps, np.concatenate(scores), sharpness) if steps else []


def speakers_in_order(turns: Sequence[SpeakerTurn], overlaps: Sequence[SpeakerTurn]) -> list[int]:
    """The speakers of `turns` as they come, then those who are heard in `overlaps` only."""
    order = list(dict.fromkeys(turn.speaker for turn in turns))
    return order + sorted({turn.speaker for turn in overlaps} - set(order))


def renumbered(turns: Sequence[SpeakerTurn], order: Sequence[int]) -> tuple[SpeakerTurn, ...]:
    """The turns with the index of their speaker in `order` in its place."""
    return tuple(replace(turn, speaker=order.index(turn.speaker)) for turn in turns)


def confidence_of(cosines: NDArray[np.float32], sharpness: float) -> NDArray[np.float32]:
    """How clearly each row is each speaker's voice: a softmax, shape [rows, speakers]."""
    clearness = np.exp((cosines - cosines.max(axis=1, keepdims=True)) / sharpness)
    result: NDArray[np.float32] = clearness / clearness.sum(axis=1, keepdims=True)
    return result


def _scores(
    edges: NDArray[np.float64], centres: NDArray[np.float64], cosines: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean cosine at each step, of the windows that hear it; those with it in their middle count most."""
    middles = (edges[:-1] + edges[1:]) / 2
    weights = np.maximum(1 - np.abs(middles[:, None] - centres[None]) / (WINDOW_S / 2), 1e-3) ** 2
    result: NDArray[np.float32] = (weights @ cosines / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def _joined(steps: Sequence[tuple[float, float]], scores: NDArray[np.float32], sharpness: float) -> list[SpeakerTurn]:
    path = _best_path(steps, scores)
    clearness = confidence_of(scores, sharpness)
    turns: list[SpeakerTurn] = []
    begin = 0
    for n in range(1, len(path) + 1):
        if n == len(path) or path[n] != path[begin] or steps[n][0] - steps[n - 1][1] > STEP_S / 2:
            confidence = float(clearness[begin:n, path[begin]].mean())
            turns.append(SpeakerTurn(steps[begin][0], steps[n - 1][1], path[begin], confidence))
            begin = n
    return turns


def _best_path(steps: Sequence[tuple[float, float]], scores: NDArray[np.float32]) -> list[int]:
    """Viterbi's algorithm."""
    total = scores[0].astype(np.float64)
    stay = np.arange(scores.shape[1])
    came_from: list[NDArray[np.int64]] = []
    for n in range(1, len(steps)):
        is_pause = steps[n][0] - steps[n - 1][1] > STEP_S / 2
        best = int(total.argmax())
        switched = total[best] - (SWITCH_COST / 2 if is_pause else SWITCH_COST)
        came_from.append(np.where(total >= switched, stay, best))
        total = np.maximum(total, switched) + scores[n]
    path = [int(total.argmax())]
    for back in reversed(came_from):
        path.append(int(back[path[-1]]))
    return path[::-1]
