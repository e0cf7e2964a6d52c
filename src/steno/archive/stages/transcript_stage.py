"""The text of each piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from steno.archive.manifest import RecordingManifest, StageName
from steno.archive.piece_journal import PieceJournal
from steno.archive.stage_files import AudioPiece, Pieces, RecognizedPieces, dump, load
from steno.archive.stages.piece_work import run_pieces
from steno.archive.stages.stage import StageJob, StageOutcome, StagePlan, StageTools, checksum_of
from steno.types import Hypothesis
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from steno.types import Audio

VERSION = 1


class TranscriptStage:
    name: StageName = "transcript"

    def plan(self, manifest: RecordingManifest, tools: StageTools) -> StagePlan:
        inputs = {"audio": checksum_of(manifest, "audio"), "pieces": checksum_of(manifest, "pieces")}
        language = tools.recognizer.check_language(tools.options.language)
        return StagePlan(self.name, VERSION, inputs, {"language": language}, tools.recognizer.model)

    async def run(self, job: StageJob) -> StageOutcome:
        language = job.tools.recognizer.check_language(job.tools.options.language)
        pieces = load(Pieces, job.result_of("pieces")).pieces
        with PieceJournal(job.journal_path(), TypeAdapter(Hypothesis)) as journal:
            async with job.tools.recognizer.session() as session:

                async def recognize(_: int, piece: AudioPiece, audio: Audio) -> Hypothesis:
                    return await session.recognize(audio, language, piece.speech_s)

                spoken = ((number, piece) for number, piece in enumerate(pieces) if piece.speech is not None)
                await run_pieces(job, spoken, journal, recognize)
                job.times.add_all(session.timings_s())
            found = tuple(journal.results.get(number) for number in range(len(pieces)))
            with job.times.measure("write"):
                write_whole(path := job.new_path(".json"), dump(RecognizedPieces(hypotheses=found)), lasting=True)
        return StageOutcome([path], {"recognized_pieces": sum(each is not None for each in found)})

    def facts(self, files: Sequence[Path], manifest: RecordingManifest) -> dict[str, object]:
        return {}
