"""Who else speaks where several do: beside the speaker of the turn, the one whose voice is most like what is heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from steno.speakers.speaker_turns import SpeakerTurn, confidence_of

REACH_S = 1.0
"""Windows whose middles are this near count, the nearer the more."""


def second_turns(
    overlaps: Sequence[tuple[float, float]],
    turns: Sequence[SpeakerTurn],
    extents: NDArray[np.float64],
    cosines: NDArray[np.float32],
    sharpness: float,
) -> list[SpeakerTurn]:
    """A turn of the second speaker for each part of `overlaps` that lies in a turn.

    Args:
        overlaps: stretches in which several speak, in order.
        turns: of the first speakers, in order.
        extents: start and end of each window, shape [windows, 2].
        cosines: of each window and each speaker, shape [windows, speakers].
        sharpness: as in `VoiceThresholds`.
    """
    if cosines.shape[1] < 2:
        return []
    middles = extents.mean(axis=1)
    found: list[SpeakerTurn] = []
    for start_s, end_s, first in _within(overlaps, turns):
        weights = np.maximum(REACH_S - np.abs(middles - (start_s + end_s) / 2), 0.0)
        if weights.any():
            likeness = weights @ cosines / weights.sum()
            likeness[first] = -1.0
            second = int(likeness.argmax())
            confidence = confidence_of(likeness[None], sharpness)[0, second]
            found.append(SpeakerTurn(start_s, end_s, second, float(confidence)))
    return found


def _within(
    overlaps: Sequence[tuple[float, float]], turns: Sequence[SpeakerTurn]
) -> Iterator[tuple[float, float, int]]:
    """The parts of `overlaps` that lie in a turn, with its speaker."""
    first = 0
    for start_s, end_s in overlaps:
        while first < len(turns) and turns[first].end_s <= start_s:
            first += 1
        for turn in turns[first:]:
            if turn.start_s >= end_s:
                break
            yield max(start_s, turn.start_s), min(end_s, turn.end_s), turn.speaker
