"""The transcript: segments with word times, from the recogniser or the aligner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from steno.archive.manifest import ConfidenceStatistics, RecordingManifest, StageName
from steno.archive.piece_journal import PieceJournal
from steno.archive.stage_files import AudioPiece, Pieces, RecognizedPieces, TimedTranscript, dump, load
from steno.archive.stages.piece_work import run_pieces
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.captions.script import joined
from steno.pipelines.recording_reader import RecordingPiece
from steno.pipelines.segments import segments_of
from steno.types import Hypothesis, Segment, Word
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from steno.types import Audio

VERSION = 1
LOW_CONFIDENCE = 0.5
Words = tuple[Word, ...]


class WordsStage:
    name: StageName = "words"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan:
        inputs = {name: checksum_of(manifest, name) for name in ("audio", "pieces", "transcript")}
        return StagePlan(self.name, VERSION, dict(inputs), {}, tools.recognizer.aligner)

    async def run(self, job: StageJob) -> StageOutcome:
        pieces = load(Pieces, job.result_of("pieces"))
        hypotheses = list(load(RecognizedPieces, job.result_of("transcript")).hypotheses)
        estimated = 0
        with PieceJournal[Words | None](job.journal_path(), TypeAdapter(Words | None)) as journal:
            if job.tools.recognizer.aligner is not None:
                await self._align(job, pieces.pieces, hypotheses, journal)
                for number, words in journal.results.items():
                    hypothesis = hypotheses[number]
                    if words and hypothesis is not None:
                        hypotheses[number] = replace(hypothesis, words=words)
            estimated = sum(bool(each is not None and each.text.strip() and not each.words) for each in hypotheses)
            with job.times.measure("write"):
                content = transcript_of_pieces(pieces, hypotheses)
                write_whole(path := job.new_path(".json"), dump(content), lasting=True)
        return StageOutcome([path], {"segments": len(content.segments), "pieces_without_word_times": estimated})

    async def _align(
        self,
        job: StageJob,
        pieces: Sequence[AudioPiece],
        hypotheses: Sequence[Hypothesis | None],
        journal: PieceJournal[Words | None],
    ) -> None:
        texts = {n: hypothesis for n, hypothesis in enumerate(hypotheses) if hypothesis and hypothesis.text.strip()}
        async with job.tools.recognizer.session() as session:

            async def align(number: int, _: AudioPiece, audio: Audio) -> Words | None:
                return await session.align(audio, texts[number])

            await run_pieces(job, ((number, pieces[number]) for number in texts), journal, align)
            job.times.add_all(session.timings_s())

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {"confidence": confidence_of(load(TimedTranscript, files[0]).segments)}


def transcript_of_pieces(pieces: Pieces, hypotheses: Sequence[Hypothesis | None]) -> TimedTranscript:
    """The transcript of a recording from those of its pieces."""
    segments = tuple(_segments(pieces.pieces, hypotheses))
    return TimedTranscript(
        text=joined([segment.text for segment in segments]),
        language=next((segment.language for segment in segments if segment.language), None),
        duration_s=pieces.duration_s,
        segments=segments,
    )


def _segments(pieces: Sequence[AudioPiece], hypotheses: Sequence[Hypothesis | None]) -> Iterator[Segment]:
    silence = np.zeros(0, np.float32)
    count = 0
    for piece, hypothesis in zip(pieces, hypotheses, strict=True):
        if hypothesis is None:
            continue
        extent = RecordingPiece(silence, piece.start_s, piece.end_s, piece.speech, piece.speech_s)
        added = segments_of(hypothesis, extent, count)
        count += len(added)
        yield from added


def confidence_of(segments: Sequence[Segment]) -> ConfidenceStatistics:
    """Statistics of the segments' confidences, weighted by their durations."""
    known = sorted((each.confidence, each.end_s - each.start_s) for each in segments if each.confidence is not None)
    weights = np.array([weight for _, weight in known])
    values = np.clip(np.array([confidence for confidence, _ in known]), 0.0, 1.0)
    has_any = bool(len(known)) and float(weights.sum()) > 0
    below = int(np.searchsorted(np.cumsum(weights), 0.1 * weights.sum())) if has_any else 0
    return ConfidenceStatistics(
        segments=len(segments),
        words=sum(len(segment.words) for segment in segments),
        mean=round(float(np.average(values, weights=weights)), 4) if has_any else None,
        low_p10=round(float(values[below]), 4) if has_any else None,
        low_s=round(float(weights[values < LOW_CONFIDENCE].sum()), 3) if has_any else 0.0,
    )
