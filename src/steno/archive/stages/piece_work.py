"""Runs the work of a stage on the pieces of a recording, some at once, and keeps each result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from steno.archive.piece_journal import PieceJournal
from steno.archive.stage_files import AudioPiece
from steno.archive.stages.stage import StageJob
from steno.pipelines.audio_spans import AudioSpans

if TYPE_CHECKING:
    from steno.types import Audio

ResultT = TypeVar("ResultT")
PieceWork = Callable[[int, "AudioPiece", "Audio"], Awaitable[ResultT]]


async def run_pieces(
    job: StageJob,
    pieces: Iterable[tuple[int, AudioPiece]],
    journal: PieceJournal[ResultT],
    work: PieceWork[ResultT],
) -> None:
    """Fill `journal` with the results of the (numbered) pieces that it lacks. Audio is read when work can start.

    Raises what `work` raises first; the other work is cancelled then.
    """
    wanted = list(pieces)
    job.log.add_missing_pieces(job.plan.stage, job.plan.key, journal.results)
    missing = [(number, piece) for number, piece in wanted if number not in journal.results]
    if not missing:
        return
    free = asyncio.Semaphore(job.tools.recognizer.parallel)

    async def one(number: int, piece: AudioPiece, audio: Audio) -> None:
        try:
            result = await work(number, piece, audio)
        finally:
            free.release()
        journal.add(number, result)
        job.log.add_piece(job.plan.stage, job.plan.key, number)
        job.report(len(journal.results) / len(wanted))

    async with AudioSpans(job.tools.opener, job.result_of("audio")) as spans:
        try:
            async with asyncio.TaskGroup() as group:
                for number, piece in missing:
                    await free.acquire()
                    audio = await spans.read(piece.start_s, piece.end_s)
                    group.create_task(one(number, piece, audio), name=f"piece {number}")
                if job.manifest.duration_s is not None:  # reads to the end, so that the decoder is not stopped
                    await spans.read(job.manifest.duration_s, job.manifest.duration_s + 1.0)
            job.times.add("decode", spans.decode_s)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
