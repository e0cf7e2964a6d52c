"""The transcript with speakers, if the archive's options ask for them. Runs where `archive run` does, also with
`--url`; with `--ray` in its actors."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import TypeAdapter

from steno.archive.manifest import ModelIdentity, RecordingManifest, StageName
from steno.archive.piece_journal import PieceJournal
from steno.archive.stage_files import AudioPiece, Pieces, StageFile, TimedTranscript, dump, load
from steno.archive.stages.piece_work import run_pieces
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.pipelines.recording_speakers import MAX_SPEAKERS
from steno.pipelines.speaker_labels import labelled
from steno.pipelines.subtitle import words_of
from steno.types import Segment, Word
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from steno.speakers.diarizer import EmbeddedSpeech
    from steno.speakers.embedder import SpeakerEmbedder
    from steno.types import Audio

T = TypeVar("T")
VERSION = 1
SHIPPED_MODEL = "campplus"


class PieceVoices(StageFile):
    """A piece's `EmbeddedSpeech` in the journal."""

    regions: tuple[tuple[float, float], ...]
    overlaps: tuple[tuple[float, float], ...]
    extents: tuple[tuple[float, float], ...]
    embeddings: str
    """float16, little-endian, in base64."""

    @classmethod
    def of(cls, speech: EmbeddedSpeech) -> PieceVoices:
        return cls(
            regions=tuple(speech.regions),
            overlaps=tuple(speech.overlaps),
            extents=tuple(map(tuple, speech.extents.tolist())),
            embeddings=base64.b64encode(speech.embeddings.astype("<f2").tobytes()).decode(),
        )

    def speech(self, dimension: int) -> EmbeddedSpeech:
        from steno.speakers.diarizer import EmbeddedSpeech

        embeddings = np.frombuffer(base64.b64decode(self.embeddings), "<f2").reshape(-1, dimension)
        return EmbeddedSpeech(self.regions, self.overlaps, np.array(self.extents).reshape(-1, 2), embeddings)


class SpeakersStage:
    name: StageName = "speakers"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan | None:
        options = tools.options
        if not options.diarize:
            return None
        inputs = {name: checksum_of(manifest, name) for name in ("audio", "pieces", "words")}
        model = speaker_model_identity(tools.opener.speaker_model.model_id)
        return StagePlan(self.name, VERSION, dict(inputs), {"num_speakers": options.num_speakers}, model)

    async def run(self, job: StageJob) -> StageOutcome:
        transcript = load(TimedTranscript, job.result_of("words"))
        pieces = load(Pieces, job.result_of("pieces")).pieces
        with PieceJournal(job.journal_path(), TypeAdapter(PieceVoices)) as journal:
            await self._embed(job, pieces, words_of(transcript.segments), journal)
            segments = await self._label(job, transcript.segments, journal)
            with job.times.measure("write"):
                content = transcript.model_copy(update={"segments": tuple(segments)})
                write_whole(path := job.new_path(".json"), dump(content), lasting=True)
        names = {segment.speaker for segment in segments if segment.speaker is not None}
        return StageOutcome([path], {"segments": len(segments), "speakers": len(names)})

    async def _embed(
        self, job: StageJob, pieces: Sequence[AudioPiece], words: Sequence[Word], journal: PieceJournal[PieceVoices]
    ) -> None:
        from steno.speakers.diarizer import embedded_speech

        voiced = dict(_spoken(pieces, words))

        async def embed(number: int, piece: AudioPiece, audio: Audio) -> PieceVoices:
            def work(embedder: SpeakerEmbedder) -> PieceVoices:
                return PieceVoices.of(embedded_speech(embedder, audio, piece.start_s, voiced[number]))

            return await _timed(job, work)

        await run_pieces(job, ((number, pieces[number]) for number in voiced), journal, embed)

    async def _label(
        self, job: StageJob, segments: Sequence[Segment], journal: PieceJournal[PieceVoices]
    ) -> list[Segment]:
        from steno.speakers.diarizer import Diarizer
        from steno.speakers.voice_clusters import SpeakerCount

        number = job.tools.options.num_speakers
        count = SpeakerCount(number or 1, number or MAX_SPEAKERS)

        def work(embedder: SpeakerEmbedder) -> list[Segment]:
            diarizer = Diarizer(embedder)
            for _, voices in sorted(journal.results.items()):
                diarizer.take(voices.speech(embedder.dimension))
            return labelled(segments, diarizer.finish(count))

        return await _timed(job, work) if journal.results else list(segments)

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {}


def speaker_model_identity(model_id: str | None) -> ModelIdentity:
    """A file is known by its content: another one of the same name gives another result."""
    if model_id is None or not (path := Path(model_id)).is_file():
        return ModelIdentity(backend="speakers", id=model_id or SHIPPED_MODEL)
    facts = path.stat()
    return ModelIdentity(backend="speakers", id=path.name, revision=_checksum(path, facts.st_mtime_ns, facts.st_size))


@cache
def _checksum(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _timed(job: StageJob, work: Callable[[SpeakerEmbedder], T]) -> T:
    """Run `work` in the network's threads, and count its time."""

    def timed(embedder: SpeakerEmbedder) -> tuple[T, float]:
        began = time.perf_counter()
        return work(embedder), time.perf_counter() - began

    result, took_s = await job.tools.opener.speaker_model.run(timed)
    job.times.add("speakers", took_s)
    return result


def _spoken(pieces: Sequence[AudioPiece], words: Sequence[Word]) -> Iterator[tuple[int, list[tuple[float, float]]]]:
    """Numbers of the pieces that have words, with the times of these."""
    first = 0
    for number, piece in enumerate(pieces):
        last = first
        while last < len(words) and words[last].start_s < piece.end_s:
            last += 1
        if last > first:
            yield number, [(word.start_s, min(word.end_s, piece.end_s)) for word in words[first:last]]
        first = last
