"""Aligns known text stretch by stretch: reads the audio of each, and keeps a few alignments in progress."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from loguru import logger

from steno.alignment.line_words import LineWord
from steno.alignment.occurrences import HeardToken
from steno.alignment.stretches import Stretch, aligned_words, stretches_of
from steno.backends.aligners.base import Align
from steno.engine.front import Engine
from steno.engine.ticket import Ticket
from steno.errors import DrainingError, StenoError
from steno.pipelines.audio_spans import AudioSpans
from steno.pipelines.file import alignment_timeout_s
from steno.pipelines.recording_reader import RecordingOpener

if TYPE_CHECKING:
    from steno.types import Audio

CONTRADICTS = "the aligner contradicts the recognised words"


@dataclass(frozen=True, slots=True)
class AnchoredText:
    """Text to align.

    Args:
        words: with the times of recognised words.
        lines: the line of each occurrence.
        heard: all that was recognised.
        duration_s: length of the recording.
    """

    words: Sequence[LineWord]
    lines: Sequence[str]
    heard: Sequence[HeardToken]
    language: str | None
    duration_s: float


@dataclass(slots=True)
class AlignedStretches:
    """All words, in order: with the aligner's times where it gave any."""

    words: list[LineWord] = field(default_factory=list)
    count: int = 0
    """Stretches that the aligner aligned."""
    warnings: tuple[str, ...] = ()
    decode_s: float = 0.0


class ForcedStretches:
    """Aligns the stretches of one recording. Arguments as for `KnownTextAlignment`."""

    def __init__(
        self,
        engine: Engine,
        opener: RecordingOpener,
        recording: BinaryIO | Path,
        track: str | None,
        ticket: Ticket,
        max_stretch_s: float,
    ) -> None:
        self._engine = engine
        self._opener = opener
        self._recording = recording
        self._track = track
        self._ticket = ticket
        self._max_s = max_stretch_s

    async def align(self, text: AnchoredText, on_progress: Callable[[float], None]) -> AlignedStretches:
        """Align the words. Those of a stretch that the aligner cannot align keep their times; a warning says why.

        Raises:
            AudioError, UnavailableError: the recording cannot be read again.
            DrainingError: the engine shuts down.
        """
        unable = self._unable(text.language)
        if unable:
            return AlignedStretches(list(text.words), 0, (f"{unable}; lines have the times of recognised words",))
        assert self._engine.aligner is not None
        max_s = min(self._max_s, self._engine.aligner.max_audio_s)
        stretches = await asyncio.to_thread(stretches_of, text.words, text.lines, text.heard, text.duration_s, max_s)
        failures = Counter[str]()
        result = AlignedStretches()
        async with (
            AudioSpans(self._opener, self._recording, self._track) as audio,
            aclosing(self._aligned(stretches, audio, text.language)) as outcomes,
        ):
            async for stretch, outcome in outcomes:
                if isinstance(outcome, str):
                    failures[outcome] += 1
                    result.words += stretch.words
                else:
                    result.count += 1
                    result.words += outcome
                on_progress(len(result.words) / len(text.words))
        result.decode_s = audio.decode_s
        result.warnings = tuple(
            f"{count} of {len(stretches)} stretches have the times of recognised words: {reason}"
            for reason, count in failures.most_common()
        )
        return result

    def _unable(self, language: str | None) -> str | None:
        """Why no stretch can be aligned; None if they can."""
        if self._engine.aligner is None:
            return "there is no aligner (ALIGNER)"
        if not self._engine.aligns(language):
            return f"aligner {self._engine.aligner.name!r} does not support the language {language!r}"
        return None

    async def _aligned(
        self, stretches: Sequence[Stretch], audio: AudioSpans, language: str | None
    ) -> AsyncGenerator[tuple[Stretch, list[LineWord] | str], None]:
        """Yield each stretch with its aligned words, or with the reason why it has none, in order."""
        assert self._engine.aligner is not None
        parallel = self._engine.aligner.workers
        waiting = deque(stretches)
        in_progress: deque[tuple[Stretch, asyncio.Task[list[LineWord] | str]]] = deque()
        try:
            while waiting or in_progress:
                while waiting and len(in_progress) < parallel:
                    stretch = waiting.popleft()
                    async with self._ticket.in_time("all lines were aligned"):
                        samples = await audio.read(stretch.start_s, stretch.end_s)
                    task = asyncio.create_task(self._align(stretch, samples, language), name="stretch")
                    in_progress.append((stretch, task))
                stretch, task = in_progress[0]
                outcome = await task
                in_progress.popleft()
                yield stretch, outcome
        finally:
            for _, task in in_progress:
                task.cancel()
            await asyncio.gather(*(task for _, task in in_progress), return_exceptions=True)

    async def _align(self, stretch: Stretch, audio: Audio, language: str | None) -> list[LineWord] | str:
        try:
            alignment = await self._ticket.align(
                Align(audio, stretch.text, language), timeout_s=alignment_timeout_s(self._ticket)
            )
        except DrainingError:
            raise
        except StenoError as error:
            logger.debug("a stretch at {:.1f} s is not aligned: {}", stretch.start_s, error.message)
            return error.message
        return aligned_words(stretch, alignment.words) or CONTRADICTS
