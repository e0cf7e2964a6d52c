"""The seam between diarization and the networks that tell voices apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class VoiceThresholds:
    """What a network's cosines mean. Each network has a scale of its own."""

    cut_distance: float
    """Average cosine distance of windows beyond which they are of two speakers."""
    same_voice: float
    """Cosine of the means of two groups of windows beyond which they are one speaker."""
    known_voice: float
    """Min cosine of a speaker's mean and an enrolled voice that gives the speaker its name."""
    new_voice: float
    """In a stream: cosine of the mean of few windows with each speaker below which they are of another speaker. Lower
    than `known_voice`, because emotional or very short speech is less like the rest of a voice."""
    sharpness: float
    """Temperature of the confidence, a softmax of cosines; about a third of the difference of two voices."""


class SpeakerEmbedder(Protocol):
    """Voices as vectors: the cosine of two windows is high if they have the same speaker.

    Calls may run in several threads at once.
    """

    @property
    def dimension(self) -> int: ...

    @property
    def thresholds(self) -> VoiceThresholds: ...

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows of 16 kHz samples, shape [windows, samples] → unit vectors, shape [windows, dimension]."""
        ...


MARGIN_SCALE = VoiceThresholds(cut_distance=0.4, same_voice=0.8, known_voice=0.72, new_voice=0.67, sharpness=0.12)
"""Of networks with an angular margin loss (CAM++, WeSpeaker, pyannote's). Tuned for CAM++ by `benchmarks/speakers.py`,
on other voices than it measures (`new_voice` also on these, in other conversations): means of two speakers have cosines
of 0.3 to 0.7, of one speaker's two halves of a recording 0.75 to 0.97. pyannote's own recipe joins two groups from a
cosine of 0.75 on. Others were not measured."""


def embedded(
    windows: NDArray[np.float32],
    run: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    dimension: int,
    windows_per_call: int,
) -> NDArray[np.float32]:
    """What `run` gives for all windows, some at a time, as unit vectors: shape [windows, dimension]."""
    parts = [run(windows[at : at + windows_per_call]) for at in range(0, len(windows), windows_per_call)]
    return unit_rows(np.concatenate(parts)) if parts else np.zeros((0, dimension), np.float32)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row of `vectors` with length 1."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    result: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
    return result
