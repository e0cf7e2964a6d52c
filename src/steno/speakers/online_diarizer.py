"""Diarization of a stream: audio in as it comes, the turns of each segment out once it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steno.speakers.diarizer import Diarization
from steno.speakers.embedder import SpeakerEmbedder
from steno.speakers.online_clusters import OnlineClusters
from steno.speakers.second_speakers import second_turns
from steno.speakers.speaker_names import letters
from steno.speakers.speaker_turns import renumbered, speakers_in_order, turns_of
from steno.speakers.stream_overlaps import StreamOverlaps
from steno.speakers.stream_windows import StreamWindows
from steno.speakers.voice_clusters import SpeakerCount

if TYPE_CHECKING:
    from steno.types import Audio

MAX_RECENT = 400
"""Windows that wait for their segment's final: more than 90 s of speech, which recognition may be behind."""


class OnlineDiarizer:
    """Keeps embeddings, and twelve seconds of audio at most. One thread at a time.

    Args:
        count: how many speakers there may be.
        offset_s: time of the stream's first sample.
    """

    def __init__(self, embedder: SpeakerEmbedder, count: SpeakerCount, offset_s: float = 0.0) -> None:
        self._embedder = embedder
        self._windows = StreamWindows(offset_s)
        self._overlaps = StreamOverlaps(offset_s)
        self._clusters = OnlineClusters(embedder.thresholds, embedder.dimension, count)
        self._names = letters()
        self._extents = np.zeros((0, 2))
        self._embeddings = np.zeros((0, embedder.dimension), np.float32)

    def hear(self, audio: Audio, begin: int, voiced: NDArray[np.bool_]) -> None:
        """Embed the windows that these frames complete: see `StreamWindows.feed`."""
        self._take(*self._windows.feed(audio, begin, voiced))
        self._overlaps.feed(audio, begin, is_voiced=bool(voiced.any()))

    def end_segment(self, end_s: float) -> None:
        """A segment ends here, maybe in audio that is yet to be heard. Called before that audio is, no window hears two
        segments."""
        self._windows.end_segment(end_s)

    def label(self, segment_id: int, start_s: float, end_s: float) -> Diarization:
        """The turns of a segment, which was heard to its end. Segments come in order. Without speech there are none.

        Names that this has returned stay: later speech of the same voice gets the same.
        """
        self._take(*self._windows.close_segment(end_s))
        regions = self._windows.regions(start_s, end_s)
        self._clusters.cluster(regions)
        cosines, sharpness = self._embeddings @ self._clusters.centroids.T, self._embedder.thresholds.sharpness
        turns = turns_of(regions, self._extents, cosines, sharpness)
        speakers = {turn.speaker for turn in turns}
        self._overlaps.end_segment(end_s)
        heard = self._overlaps.between(start_s, end_s)
        others = second_turns(heard, turns, self._extents, cosines, sharpness)
        others = [turn for turn in others if turn.speaker in speakers or self._clusters.is_told(turn.speaker)]
        order = speakers_in_order(turns, others)
        names = tuple(self._names[self._clusters.voice(cluster)] for cluster in order)
        self._clusters.tell(segment_id, start_s, end_s, may_change=len(speakers) == 1)
        self._forget_before(end_s)
        return Diarization(renumbered(turns, order), names, renumbered(others, order))

    def drop(self, start_s: float, end_s: float) -> None:
        """Forget a segment that turned out to be no speech. Segments come in order, as in `label`."""
        self._take(*self._windows.close_segment(end_s))
        self._clusters.drop(start_s, end_s)
        self._forget_before(end_s)

    def changes(self) -> dict[int, str]:
        """Segments of one speaker, who turns out to be another than was returned here or by `label`: id and name."""
        return {segment_id: self._names[voice] for segment_id, voice in self._clusters.changes()}

    def _take(self, windows: NDArray[np.float32], extents: NDArray[np.float64]) -> None:
        if not len(windows):
            return
        embeddings = self._embedder.embed(windows)
        self._clusters.add(embeddings, extents)
        self._extents = np.concatenate([self._extents, extents])[-MAX_RECENT:]
        self._embeddings = np.concatenate([self._embeddings, embeddings])[-MAX_RECENT:]

    def _forget_before(self, time_s: float) -> None:
        self._windows.forget_before(time_s)
        self._overlaps.forget_before(time_s)
        kept = self._extents[:, 1] > time_s
        self._extents, self._embeddings = self._extents[kept], self._embeddings[kept]
