"""How many voices there are, and what each is like: agglomerative clustering of window embeddings (SciPy).

1. Average linkage of cosine distances, cut at the threshold of the network. Clusters with too little speech, which are
   windows across a change of speakers, are dropped.
2. All windows choose the nearest centroid, which follows, and centroids that are alike are merged.
3. A voice that is never heard for three seconds on end is dropped: windows across changes of speakers, or in
   overlapping speech, are alike as well.
4. If that gives fewer or more speakers than the caller says there are, Ward's linkage of the centred embeddings gives
   the nearest number that is allowed. It finds a known number of voices that the threshold cannot part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steno.speakers.embedder import VoiceThresholds, unit_rows
from steno.speakers.voice_windows import HOP_S

MIN_SPEECH_S, MIN_SPEECH_SHARE, LEAST_SPEECH_S = 4.0, 0.05, 1.5
"""A speaker says this much, or in a short recording this share of it, but never less than the last."""
MIN_STRETCH = 5
"""Consecutive windows that a speaker must have somewhere: they hear 3 s. In short recordings as much fewer."""
MAX_CLUSTERED = 2000
"""Windows in the tree, which takes memory by their square: 16 MB. Of a longer recording, every nth."""
MAX_ROUNDS = 6


@dataclass(frozen=True, slots=True)
class SpeakerCount:
    """How many speakers a recording may have. Raises `ValueError` if `most` is below `least`, or `least` below 1."""

    least: int = 1
    most: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.least <= self.most:
            raise ValueError(f"need 1 <= least ({self.least}) <= most ({self.most})")


def centroids_of(
    embeddings: NDArray[np.float32],
    is_whole: NDArray[np.bool_],
    speech_s: float,
    count: SpeakerCount,
    thresholds: VoiceThresholds,
    least_speech_s: float = LEAST_SPEECH_S,
) -> NDArray[np.float32]:
    """One unit vector for each speaker, shape [speakers, dimension]; none without windows.

    Args:
        embeddings: shape [windows, dimension], in order of time.
        is_whole: which windows are full enough of speech to found a speaker.
        speech_s: seconds of speech in all.
        least_speech_s: what a speaker of a short recording says at least.
    """
    sure = embeddings[is_whole] if is_whole.sum() >= 2 else embeddings
    if len(sure) < 2:
        return sure.copy()
    share_s = min(MIN_SPEECH_S, max(least_speech_s, MIN_SPEECH_SHARE * speech_s))
    min_windows = share_s / HOP_S
    every = -(-len(sure) // MAX_CLUSTERED)
    centroids = _cut(sure[::every], thresholds.cut_distance, min_windows / every)
    centroids = _settled(sure, centroids, min_windows, thresholds.same_voice)
    centroids = _with_a_stretch(embeddings, centroids, round(MIN_STRETCH * share_s / MIN_SPEECH_S))
    number = min(max(len(centroids), count.least), count.most)
    return centroids if len(centroids) == number else _exactly(sure[::every], number)


def _cut(embeddings: NDArray[np.float32], distance: float, min_windows: float) -> NDArray[np.float32]:
    from scipy.cluster.hierarchy import fcluster, linkage  # take 0.2 s and 30 MB: not before they are needed

    labels = fcluster(linkage(embeddings.astype(np.float64), "average", metric="cosine"), distance, "distance")
    sizes = np.bincount(labels)
    kept = [n for n in np.unique(labels) if sizes[n] >= min_windows] or [int(sizes.argmax())]
    return np.stack([_centroid(embeddings[labels == n]) for n in kept])


def _exactly(embeddings: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """A known number of speakers; fewer if there are fewer windows."""
    from scipy.cluster.hierarchy import fcluster, linkage

    centred = unit_rows(embeddings - embeddings.mean(axis=0))
    labels = fcluster(linkage(centred.astype(np.float64), "ward"), number, "maxclust")
    centroids = np.stack([_centroid(embeddings[labels == n]) for n in np.unique(labels)])
    for _ in range(MAX_ROUNDS):
        labels = (embeddings @ centroids.T).argmax(axis=1)
        if len(np.unique(labels)) < len(centroids):
            break
        centroids = np.stack([_centroid(embeddings[labels == n]) for n in range(len(centroids))])
    return centroids


def _settled(
    embeddings: NDArray[np.float32],
    centroids: NDArray[np.float32],
    min_windows: float,
    same_voice: float,
) -> NDArray[np.float32]:
    """Let windows choose and centroids follow until nothing changes."""
    for _ in range(MAX_ROUNDS):
        labels = (embeddings @ centroids.T).argmax(axis=1)
        sizes = np.bincount(labels, minlength=len(centroids))
        kept = [n for n in range(len(centroids)) if sizes[n] >= min_windows] or [int(sizes.argmax())]
        before = centroids
        centroids = np.stack([_centroid(embeddings[labels == n]) for n in kept])
        centroids = _merged(centroids, sizes[kept], same_voice)
        if centroids.shape == before.shape and np.allclose(centroids, before, atol=1e-4):
            break
    return centroids


def _with_a_stretch(
    embeddings: NDArray[np.float32], centroids: NDArray[np.float32], min_stretch: int
) -> NDArray[np.float32]:
    """Drop the voice with the shortest longest stretch, until all have one of `min_stretch` windows."""
    while len(centroids) > 1:
        labels = (embeddings @ centroids.T).argmax(axis=1)
        begins = np.flatnonzero(np.diff(labels, prepend=-1))
        lengths = np.diff(np.append(begins, len(labels)))
        longest = np.zeros(len(centroids), np.int64)
        np.maximum.at(longest, labels[begins], lengths)
        shortest = int(longest.argmin())
        if longest[shortest] >= min_stretch:
            break
        centroids = np.delete(centroids, shortest, axis=0)
    return centroids


def _merged(centroids: NDArray[np.float32], sizes: NDArray[np.int64], same_voice: float) -> NDArray[np.float32]:
    """Merge the most similar pair while it is one voice."""
    parts, weights = list(centroids), [float(size) for size in sizes]
    while len(parts) > 1:
        likeness = np.stack(parts) @ np.stack(parts).T
        np.fill_diagonal(likeness, -1.0)
        first, second = sorted(int(n) for n in np.unravel_index(likeness.argmax(), likeness.shape))
        if likeness[first, second] < same_voice:
            break
        joined = unit_rows(parts[first] * weights[first] + parts[second] * weights[second])
        parts[first], weights[first] = joined, weights[first] + weights[second]
        del parts[second], weights[second]
    return np.stack(parts)


def _centroid(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    return unit_rows(embeddings.mean(axis=0))
