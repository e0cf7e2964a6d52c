"""Diarization of one recording: audio in as it is read, turns out at the end. Audio is not kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.speakers.embedder import SpeakerEmbedder
from steno.speakers.speaker_names import letters
from steno.speakers.speaker_turns import SpeakerTurn, turns_of
from steno.speakers.voice_clusters import SpeakerCount, centroids_of
from steno.speakers.voice_windows import WHOLE_SHARE, WINDOW_S, voiced_regions, windows_of

if TYPE_CHECKING:
    from steno.types import Audio


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who spoke when. `names`: of the speakers, by index, in the order in which they first speak."""

    turns: tuple[SpeakerTurn, ...]
    names: tuple[str, ...]

    @property
    def main_speaker(self) -> str | None:
        """Who speaks most; None without turns."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for turn in self.turns:
            seconds[self.names[turn.speaker]] += turn.end_s - turn.start_s
        return max(seconds, key=lambda name: seconds[name], default=None)


class Diarizer:
    """Collects a recording's embeddings, as half precision: 80 kB for a minute of speech. One thread at a time."""

    def __init__(self, embedder: SpeakerEmbedder) -> None:
        self._embedder = embedder
        self._regions: list[tuple[float, float]] = []
        self._extents: list[NDArray[np.float64]] = []
        self._embeddings: list[NDArray[np.float16]] = []

    def add(self, audio: Audio, start_s: float, voiced: Sequence[tuple[float, float]]) -> None:
        """Embed the speech of the next piece of audio. `voiced`: where it is, in seconds of the recording."""
        regions = voiced_regions(voiced)
        windows, extents = windows_of(audio, start_s, regions)
        if len(windows):
            self._regions += regions
            self._extents.append(extents)
            self._embeddings.append(self._embedder.embed(windows).astype(np.float16))

    def finish(self, count: SpeakerCount, known: Mapping[str, NDArray[np.float32]] | None = None) -> Diarization:
        """Find the speakers and their turns. `known`: enrolled voices by name, from `voice_of`."""
        if not self._embeddings:
            return Diarization((), ())
        extents = np.concatenate(self._extents)
        embeddings = np.concatenate(self._embeddings).astype(np.float32)
        is_whole = extents[:, 1] - extents[:, 0] >= WHOLE_SHARE * WINDOW_S
        speech_s = sum(end_s - start_s for start_s, end_s in self._regions)
        thresholds = self._embedder.thresholds
        centroids = centroids_of(embeddings, is_whole, speech_s, count, thresholds)
        turns = turns_of(self._regions, extents, embeddings, centroids, thresholds.sharpness)
        order = list(dict.fromkeys(turn.speaker for turn in turns))
        numbered = [SpeakerTurn(turn.start_s, turn.end_s, order.index(turn.speaker), turn.confidence) for turn in turns]
        return Diarization(tuple(numbered), _names(centroids[order], known or {}, thresholds.known_voice))


def voice_of(embedder: SpeakerEmbedder, audio: Audio, voiced: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """The voice in a recording of one speaker, a unit vector. Raises ValueError: it has no speech."""
    windows, _ = windows_of(audio, 0.0, voiced_regions(voiced))
    if not len(windows):
        raise ValueError("no speech was found")
    mean = embedder.embed(windows).mean(axis=0)
    result: NDArray[np.float32] = (mean / np.linalg.norm(mean)).astype(np.float32)
    return result


def _names(
    centroids: NDArray[np.float32], known: Mapping[str, NDArray[np.float32]], min_likeness: float
) -> tuple[str, ...]:
    """The best pairs of speaker and enrolled voice first; the other speakers are called A, B, …"""
    names: dict[int, str] = {}
    if known and len(centroids):
        likeness = centroids @ np.stack(list(known.values())).T
        while likeness.size and likeness.max() >= min_likeness:
            speaker, voice = (int(n) for n in np.unravel_index(likeness.argmax(), likeness.shape))
            names[speaker] = list(known)[voice]
            likeness[speaker, :] = likeness[:, voice] = -1.0
    free = (letter for letter in letters() if letter not in known)
    return tuple(names.get(n) or next(free) for n in range(len(centroids)))
