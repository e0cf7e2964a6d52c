"""Diarization of one recording: audio in as it is read, turns out at the end. Audio is not kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.speakers.embedder import SpeakerEmbedder, unit_rows
from steno.speakers.overlap_detector import overlap_detector
from steno.speakers.second_speakers import second_turns
from steno.speakers.speaker_names import letters
from steno.speakers.speaker_turns import SpeakerTurn, renumbered, speakers_in_order, turns_of
from steno.speakers.voice_clusters import SpeakerCount, centroids_of
from steno.speakers.voice_windows import WHOLE_SHARE, WINDOW_S, voiced_regions, windows_of

if TYPE_CHECKING:
    from steno.types import Audio


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who spoke when."""

    turns: tuple[SpeakerTurn, ...]
    """One speaker at a time, in order."""
    names: tuple[str, ...]
    """Of the speakers, by index, in the order in which they first speak."""
    overlaps: tuple[SpeakerTurn, ...] = ()
    """Turns of a second speaker, within `turns`, in order: where two speak at once."""

    @property
    def main_speaker(self) -> str | None:
        """Who speaks most; None without turns."""
        seconds: defaultdict[str, float] = defaultdict(float)
        for turn in self.turns:
            seconds[self.names[turn.speaker]] += turn.end_s - turn.start_s
        return max(seconds, key=lambda name: seconds[name], default=None)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSpeech:
    """What is kept of a piece of audio, in seconds of the recording."""

    regions: Sequence[tuple[float, float]]
    """Where there is speech, in order."""
    overlaps: Sequence[tuple[float, float]]
    """Where several speak at once, in order."""
    extents: NDArray[np.float64]
    """Start and end of each window, shape [windows, 2]."""
    embeddings: NDArray[np.float16]
    """Shape [windows, dimension]."""


def embedded_speech(
    embedder: SpeakerEmbedder, audio: Audio, start_s: float, voiced: Sequence[tuple[float, float]]
) -> EmbeddedSpeech:
    """Embed the speech of a piece. `voiced`: where it is, in seconds of the recording."""
    regions = voiced_regions(voiced)
    windows, extents = windows_of(audio, start_s, regions)
    if not len(windows):
        return EmbeddedSpeech((), (), extents, np.zeros((0, embedder.dimension), np.float16))
    embeddings = embedder.embed(windows).astype(np.float16)
    overlaps = [(start_s + begin_s, start_s + end_s) for begin_s, end_s in overlap_detector().overlaps(audio)]
    return EmbeddedSpeech(regions, overlaps, extents, embeddings)


class Diarizer:
    """Collects a recording's embeddings, as half precision: 60 kB for a minute of speech. One thread at a time."""

    def __init__(self, embedder: SpeakerEmbedder) -> None:
        self._embedder = embedder
        self._regions: list[tuple[float, float]] = []
        self._extents: list[NDArray[np.float64]] = []
        self._embeddings: list[NDArray[np.float16]] = []
        self._overlaps: list[tuple[float, float]] = []

    def add(self, audio: Audio, start_s: float, voiced: Sequence[tuple[float, float]]) -> None:
        """Embed the speech of the next piece of audio, as `embedded_speech`."""
        self.take(embedded_speech(self._embedder, audio, start_s, voiced))

    def take(self, speech: EmbeddedSpeech) -> None:
        """Take the next piece of audio, already embedded."""
        if len(speech.extents):
            self._regions += speech.regions
            self._extents.append(speech.extents)
            self._embeddings.append(speech.embeddings)
            self._overlaps += speech.overlaps

    def finish(self, count: SpeakerCount, known: Mapping[str, NDArray[np.float32]] | None = None) -> Diarization:
        """Find the speakers and their turns. `known`: enrolled voices by name, from `voice_of`."""
        if not self._embeddings:
            return Diarization((), ())
        extents = np.concatenate(self._extents)
        embeddings = np.concatenate(self._embeddings).astype(np.float32)
        speech_s = sum(end_s - start_s for start_s, end_s in self._regions)
        thresholds = self._embedder.thresholds
        centroids = centroids_of(embeddings, self._is_whole(extents), speech_s, count, thresholds)
        cosines = embeddings @ centroids.T
        turns = turns_of(self._regions, extents, cosines, thresholds.sharpness)
        overlaps = second_turns(self._overlaps, turns, extents, cosines, thresholds.sharpness)
        order = speakers_in_order(turns, overlaps)
        names = _names(centroids[order], known or {}, thresholds.known_voice)
        return Diarization(renumbered(turns, order), names, renumbered(overlaps, order))

    def _is_whole(self, extents: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which windows are full enough of one speaker's speech to found a speaker; without overlapping speech, if
        enough are left."""
        alone_s = extents[:, 1] - extents[:, 0]
        is_whole: NDArray[np.bool_] = alone_s >= WHOLE_SHARE * WINDOW_S
        for start_s, end_s in self._overlaps:
            first, last = np.searchsorted(extents[:, 1], start_s), np.searchsorted(extents[:, 0], end_s)
            near = extents[first:last]
            alone_s[first:last] -= np.clip(np.minimum(near[:, 1], end_s) - np.maximum(near[:, 0], start_s), 0.0, None)
        is_alone = is_whole & (alone_s >= WHOLE_SHARE * WINDOW_S)
        return is_alone if is_alone.sum() >= 2 else is_whole


def voice_of(embedder: SpeakerEmbedder, audio: Audio, voiced: Sequence[tuple[float, float]]) -> NDArray[np.float32]:
    """The voice in a recording of one speaker, a unit vector. Raises ValueError: it has no speech."""
    windows, _ = windows_of(audio, 0.0, voiced_regions(voiced))
    if not len(windows):
        raise ValueError("no speech was found")
    return unit_rows(embedder.embed(windows).mean(axis=0))


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
