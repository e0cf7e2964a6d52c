"""The voices of a stream so far. Labels that were told stay: what is clustered anew later is matched with them.

1. Each window's embedding is kept, up to `MAX_KEPT`; beyond it, the voice with most windows loses its oldest ones, so
   that a voice that is rarely heard is not forgotten.
2. Before a label is told, all kept embeddings are clustered as those of a recording are (`voice_clusters`): a new
   voice is one that differs by the network's thresholds and has enough speech. This takes 15 ms at most.
3. A voice that was told and is like none of the clusters stays: its windows were too few for one. A region of speech in
   the segment that is labelled next is a new voice by itself if it is like no voice so far.
4. Clusters get the voices of the labels that most of their windows were told with (Hungarian assignment); one that has
   no such windows is a new voice.
5. Where the windows of a segment of one speaker are now nearer to another voice than that which was told, `changes`
   says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steno.speakers.embedder import VoiceThresholds, unit_rows
from steno.speakers.voice_clusters import SpeakerCount, centroids_of
from steno.speakers.voice_windows import WHOLE_SHARE, WINDOW_S

MAX_KEPT = 480
"""Windows: three minutes of speech, 180 kB with the 192 dimensions of CAM++."""
DROPPED = 48
"""Windows that are dropped at once when there are too many."""
MAX_TOLD = 256
"""Segments whose label may change."""
NUMBER_AFTER_S = 30.0
"""Speech for each speaker that a stream is said to have, before that many are looked for: before, fewer may speak."""
LEAST_STREAM_SPEECH_S = 0.75
"""What a new voice says at least at the start of a stream, two windows; after half a minute it is as in a recording.
Labels are told early here: with the 1.5 s of recordings, the first turns of two speakers got one label. Chosen on the
voices of `benchmarks.speakers --tune`."""
SURE_WINDOWS = 6
"""A voice that is heard in fewer, which is 3 s, must be clearly another than each other voice: windows across changes
of speakers founded voices of their own."""
LEAST_REGION_S = 0.7
"""A region of speech that may be a new voice by itself lasts so long."""
CLEAR_SHARE = 0.8
"""Share of a segment's windows that must have another voice before its label is said to change."""
UNTOLD = -1


@dataclass(slots=True)
class _ToldSegment:
    id: int
    start_s: float
    end_s: float
    voice: int


class OnlineClusters:
    """See the module. `count`: how many voices there may be; the least number after a while. Not thread-safe."""

    def __init__(self, thresholds: VoiceThresholds, dimension: int, count: SpeakerCount) -> None:
        self._thresholds = thresholds
        self._count = count
        self._vectors = np.zeros((0, dimension), np.float16)
        self._is_whole = np.zeros(0, np.bool_)
        self._centres_s = np.zeros(0)
        self._told = np.zeros(0, np.int16)
        """Voice that each window was told with."""
        self._segments: deque[_ToldSegment] = deque(maxlen=MAX_TOLD)
        self._speech_s = self._heard_until_s = 0.0
        self._is_current = True
        self._number = 0
        """Voices that were told so far."""
        self._clustered = np.zeros((0, dimension), np.float32)
        """Centroids of the clusters that were found in the windows alone."""
        self.centroids = np.zeros((0, dimension), np.float32)
        """A unit vector for each cluster, shape [clusters, dimension]; voices of few windows included."""
        self._voices: list[int] = []
        """The voice of each cluster; `UNTOLD` for one that is new."""

    def add(self, embeddings: NDArray[np.float32], extents: NDArray[np.float64]) -> None:
        """Take the next windows: embeddings, shape [windows, dimension], and start and end of each, in order."""
        if not len(embeddings):
            return
        self._vectors = np.concatenate([self._vectors, embeddings.astype(np.float16)])
        self._is_whole = np.append(self._is_whole, extents[:, 1] - extents[:, 0] >= WHOLE_SHARE * WINDOW_S)
        self._centres_s = np.append(self._centres_s, extents.mean(axis=1))
        self._told = np.append(self._told, np.full(len(embeddings), UNTOLD, np.int16))
        heard_until_s = np.maximum.accumulate([self._heard_until_s, *extents[:, 1]])
        self._speech_s += float(np.clip(extents[:, 1] - np.maximum(extents[:, 0], heard_until_s[:-1]), 0, None).sum())
        self._heard_until_s = float(heard_until_s[-1])
        self._is_current = False
        while len(self._vectors) > MAX_KEPT:
            self._drop_oldest()

    def cluster(self, regions: Sequence[tuple[float, float]] = ()) -> None:
        """Find the voices again. `regions`: start and end of speech in the segment that is labelled next, in s."""
        if not len(self._vectors):
            return
        vectors = self._vectors.astype(np.float32)
        if not self._is_current:
            self._is_current = True
            self._clustered = self._clear(vectors[self._is_whole], self._clusters_of(vectors))
        self.centroids = self._clustered
        for voice in range(self._number):
            self._add_unlike(vectors[self._told == voice])
        for start_s, end_s in regions:
            if end_s - start_s >= LEAST_REGION_S:
                self._add_unlike(vectors[self._inside(start_s, end_s)])
        self._voices = self._matched((vectors @ self.centroids.T).argmax(axis=1))

    @property
    def _least(self) -> int:
        """How many voices there are at least, with what was heard."""
        return self._count.least if self._speech_s >= NUMBER_AFTER_S * self._count.least else 1

    def tell(self, segment_id: int, start_s: float, end_s: float, *, may_change: bool = True) -> None:
        """The labels of this segment are told now: its windows keep their voices. `may_change`: whether `changes` can
        name it, as it has one speaker."""
        inside = self._inside(start_s, end_s)
        voices = self._nearest(inside)
        self._told[inside] = voices
        if may_change and len(voices) and (voice := _majority(voices)[0]) != UNTOLD:
            self._segments.append(_ToldSegment(segment_id, start_s, end_s, voice))

    def voice(self, cluster: int) -> int:
        """The voice of a cluster, counted from 0; a new one gets the next number, because it is told now."""
        if self._voices[cluster] == UNTOLD:
            self._voices[cluster] = self._number
            self._number += 1
        return self._voices[cluster]

    def is_told(self, cluster: int) -> bool:
        """Whether the voice of a cluster has a number."""
        return self._voices[cluster] != UNTOLD

    def changes(self) -> list[tuple[int, int]]:
        """Segments whose voice is now another one than was told, here or in its final: id and voice."""
        found: list[tuple[int, int]] = []
        for segment in self._segments:
            voices = self._nearest(self._inside(segment.start_s, segment.end_s))
            voice, share = _majority(voices) if len(voices) else (UNTOLD, 0.0)
            if voice not in (UNTOLD, segment.voice) and share >= CLEAR_SHARE:
                segment.voice = voice
                found.append((segment.id, voice))
        return found

    def drop(self, start_s: float, end_s: float) -> None:
        """Forget the windows of what turned out to be no speech."""
        self._keep(~self._inside(start_s, end_s))
        self._is_current = False

    def _inside(self, start_s: float, end_s: float) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (self._centres_s >= start_s) & (self._centres_s < end_s)
        return inside

    def _nearest(self, windows: NDArray[np.bool_]) -> NDArray[np.int16]:
        """The voices that these windows are nearest to."""
        if not len(self.centroids) or not windows.any():
            return np.zeros(0, np.int16)
        clusters = (self._vectors[windows].astype(np.float32) @ self.centroids.T).argmax(axis=1)
        voices: NDArray[np.int16] = np.array(self._voices, np.int16)[clusters]
        return voices

    def _clusters_of(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        count = SpeakerCount(self._least, self._count.most)
        return centroids_of(vectors, self._is_whole, self._speech_s, count, self._thresholds, LEAST_STREAM_SPEECH_S)

    def _add_unlike(self, vectors: NDArray[np.float32]) -> None:
        """Add a centroid for windows whose mean is like no centroid."""
        if len(vectors) and len(self.centroids) < self._count.most:
            mean = unit_rows(vectors.mean(axis=0, keepdims=True))
            if (self.centroids @ mean[0]).max() < self._thresholds.new_voice:
                self.centroids = np.concatenate([self.centroids, mean])

    def _clear(self, vectors: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
        """The centroids without those of few windows that are not clearly different; that of fewest goes first."""
        while len(vectors) and len(centroids) > max(1, self._least):
            sizes = np.bincount((vectors @ centroids.T).argmax(axis=1), minlength=len(centroids))
            likeness = centroids @ centroids.T
            np.fill_diagonal(likeness, -1.0)
            unsure = (sizes < SURE_WINDOWS) & (likeness.max(axis=1) >= 1 - self._thresholds.cut_distance)
            if not unsure.any():
                break
            centroids = np.delete(centroids, int(np.where(unsure, sizes, len(vectors) + 1).argmin()), axis=0)
        return centroids

    def _matched(self, clusters: NDArray[np.int64]) -> list[int]:
        """The voice of each cluster. `clusters`: that of each window. There are never more voices than may be."""
        from scipy.optimize import linear_sum_assignment

        scores = np.full((len(self.centroids), self._count.most), -0.5)  # no window was told with this voice
        scores[:, self._number :] = 0.0  # a new voice is better than that
        for cluster in range(len(self.centroids)):
            told = self._told[(clusters == cluster) & (self._told != UNTOLD)]
            numbers, votes = np.unique(told, return_counts=True)
            scores[cluster, numbers] = votes
        _, chosen = linear_sum_assignment(scores, maximize=True)
        return [int(voice) if voice < self._number else UNTOLD for voice in chosen]

    def _drop_oldest(self) -> None:
        """Drop the oldest windows of the voice that has most."""
        numbers, counts = np.unique(self._told, return_counts=True)
        oldest = np.flatnonzero(self._told == numbers[counts.argmax()])[:DROPPED]
        kept = np.ones(len(self._told), np.bool_)
        kept[oldest] = False
        self._keep(kept)

    def _keep(self, kept: NDArray[np.bool_]) -> None:
        self._vectors, self._is_whole = self._vectors[kept], self._is_whole[kept]
        self._centres_s, self._told = self._centres_s[kept], self._told[kept]


def _majority(voices: NDArray[np.int16]) -> tuple[int, float]:
    """The commonest of these, and its share."""
    numbers, counts = np.unique(voices, return_counts=True)
    return int(numbers[counts.argmax()]), float(counts.max() / len(voices))
