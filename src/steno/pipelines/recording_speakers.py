"""The speakers of one recording: embeds its pieces as they are read, and labels its segments at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steno.pipelines.recording_reader import RecordingPiece
from steno.pipelines.speaker_labels import labelled
from steno.pipelines.speaker_model import SpeakerModel
from steno.types import Segment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from steno.speakers.diarizer import Diarization, Diarizer
    from steno.speakers.embedder import SpeakerEmbedder

MAX_SPEAKERS = 20


@dataclass(frozen=True, slots=True, eq=False)
class KnownSpeaker:
    """A name, and a recording of the speaker's voice: its first piece."""

    name: str
    sample: RecordingPiece


@dataclass(frozen=True, slots=True)
class SpeakerOptions:
    """What is known of a recording's speakers."""

    least: int = 1
    most: int = MAX_SPEAKERS
    known: tuple[KnownSpeaker, ...] = ()


class RecordingSpeakers:
    """Keeps embeddings, not audio. One task at a time."""

    def __init__(self, model: SpeakerModel, options: SpeakerOptions) -> None:
        self._model = model
        self._options = options
        self._diarizer: Diarizer | None = None
        self._adding: asyncio.Future[None] | None = None
        self.took_s = 0.0
        """Seconds of work in its threads."""

    async def add(self, piece: RecordingPiece) -> None:
        """Embed the next piece. Waits for the one before, so that at most two pieces are in memory.

        Raises:
            ModelLoadError: the network cannot be loaded.
        """
        await self._added()
        if piece.voiced:
            self._adding = asyncio.ensure_future(self._model.run(lambda embedder: self._add(embedder, piece)))

    async def label(self, segments: Sequence[Segment]) -> list[Segment]:
        """The segments with their speakers; one in which the speaker changes becomes several, at words.

        Raises:
            ModelLoadError: as `add`.
        """
        await self._added()
        return await self._model.run(lambda embedder: self._label(embedder, segments))

    async def aclose(self) -> None:
        """Drop the work that has not started, and wait for that in progress. Idempotent."""
        if self._adding is not None:
            self._adding.cancel()
            await asyncio.gather(self._adding, return_exceptions=True)
            self._adding = None

    async def _added(self) -> None:
        if self._adding is not None:
            adding, self._adding = self._adding, None
            await adding

    def _add(self, embedder: SpeakerEmbedder, piece: RecordingPiece) -> None:
        from steno.speakers.diarizer import Diarizer

        began = time.perf_counter()
        if self._diarizer is None:
            self._diarizer = Diarizer(embedder)
        self._diarizer.add(piece.audio, piece.start_s, piece.voiced)
        self.took_s += time.perf_counter() - began

    def _label(self, embedder: SpeakerEmbedder, segments: Sequence[Segment]) -> list[Segment]:
        began = time.perf_counter()
        found = self._diarization(embedder)
        result = labelled(segments, found) if found is not None else list(segments)
        self.took_s += time.perf_counter() - began
        return result

    def _diarization(self, embedder: SpeakerEmbedder) -> Diarization | None:
        from steno.speakers.voice_clusters import SpeakerCount

        if self._diarizer is None:
            return None
        options = self._options
        known = {speaker.name: _voice(embedder, speaker.sample) for speaker in options.known}
        return self._diarizer.finish(SpeakerCount(options.least, options.most), known)


def _voice(embedder: SpeakerEmbedder, sample: RecordingPiece) -> NDArray[np.float32]:
    from steno.speakers.diarizer import voice_of

    return voice_of(
        embedder, sample.audio, [(start - sample.start_s, end - sample.start_s) for start, end in sample.voiced]
    )
