"""One file, end to end: decode and cut in a thread, recognise pieces side by side, give back segments in order.

Nothing holds the whole recording: a piece is decoded when there is room for it, and gone when its text is out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType

from steno.backends.base import Recognize
from steno.captions.script import joined
from steno.engine.engine import Engine
from steno.engine.ticket import Ticket
from steno.errors import AudioTooLongError
from steno.pipelines.align import with_words
from steno.pipelines.noise import without_noise
from steno.pipelines.recording_reader import RecordingPiece, RecordingReader
from steno.pipelines.segments import segments_of
from steno.types import Hypothesis, Segment, Transcript

PACE_AFTER_S = 10.0
"""Seconds after which the pace of a transcription is believed."""

PACE_AFTER_ROUNDS = 2

PACE_MARGIN = 1.5
"""A transcription may need so many times the time that is left: load comes and goes."""

ALIGNMENT_SHARE = 0.3
"""Of a request's time that is left: so long the times of a piece's words are waited for. No text is lost for them."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What is wanted of a recording."""

    language: str | None = None
    """ISO 639-1; None = detect."""
    context: str = ""
    words: bool = False
    track: str | None = None
    """The audio track, as in `steno.audio.decode.decode`."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """The recording is done up to `end_s`; `segments` are what this part of it added, none for silence."""

    end_s: float
    segments: tuple[Segment, ...]


class FileTranscription:
    """The transcription of one recording. Use it as `async with`; leaving it stops the decoder and all work.

    Args:
        reader: the recording.
        parallel: pieces under way at once.
        align: find the times of words, where they are wanted, with the engine's aligner.
        noise_confidence: of the recogniser, as in its `Capabilities`.
    """

    def __init__(
        self,
        reader: RecordingReader,
        ticket: Ticket,
        options: FileOptions,
        *,
        parallel: int = 1,
        align: bool = False,
        noise_confidence: float = 0.0,
    ) -> None:
        self._reader = reader
        self._ticket = ticket
        self._options = options
        self._parallel = parallel
        self._align = align and options.words
        self._noise_confidence = noise_confidence
        self._first: RecordingPiece | None = None
        self._opened = False
        self._under_way: deque[tuple[RecordingPiece, asyncio.Task[Hypothesis] | None]] = deque()
        self._segments: list[Segment] = []

    @classmethod
    def on(cls, engine: Engine, reader: RecordingReader, ticket: Ticket, options: FileOptions) -> FileTranscription:
        """With what suits the engine and its backend."""
        return cls(
            reader,
            ticket,
            options,
            parallel=engine.parallelism,
            align=engine.aligner is not None,
            noise_confidence=engine.capabilities.noise_confidence,
        )

    async def __aenter__(self) -> FileTranscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop. Idempotent."""
        tasks = [task for _, task in self._under_way if task is not None]
        self._under_way.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.aclose()

    async def open(self) -> None:
        """Decode the first piece, so that audio which cannot be used is found out before anything is answered.

        Raises:
            AudioError: of the kind that befits it.
        """
        if not self._opened:
            self._first = await self._read()
            self._opened = True

    async def run(self) -> AsyncGenerator[Recognized, None]:
        """Recognise, in order, as fast as pieces come back.

        Raises:
            StenoError: what `open` or the engine raises; what was given out before stands.
        """
        await self.open()
        piece = self._first
        while piece is not None or self._under_way:
            while piece is not None and len(self._under_way) < self._parallel:
                self._under_way.append((piece, self._start(piece)))
                piece = await self._read()
            done, task = self._under_way[0]
            added = segments_of(await task, done, len(self._segments)) if task is not None else ()
            self._under_way.popleft()
            self._segments.extend(added)
            yield Recognized(done.end_s, added)

    async def transcript(self) -> Transcript:
        """Run to the end and give everything.

        Raises:
            AudioTooLongError: at its present pace it would not be done in the request's time.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        async with aclosing(self.run()) as parts:
            pieces = 0
            async for part in parts:
                pieces += 1
                if pieces >= PACE_AFTER_ROUNDS * self._parallel:  # pieces that run side by side end together
                    self._check_pace(part.end_s, clock() - began)
        return self.so_far()

    def _check_pace(self, done_s: float, took_s: float) -> None:
        """Rather soon than when the time is up: nobody gets the text of a request that was not done."""
        total_s = self._reader.info.duration_s if self._reader.info is not None else None
        left_s = self._ticket.time_left_s()
        if total_s is None or left_s is None or took_s < PACE_AFTER_S or done_s <= 0:
            return
        needed_s = took_s / done_s * max(total_s - done_s, 0.0)
        if needed_s > PACE_MARGIN * left_s:
            raise AudioTooLongError(
                f"The recording is {total_s:.0f} s long. At its present pace ({took_s / done_s:.2f} s for a second of "
                f"audio) it would take {took_s + needed_s:.0f} s; a request may take {took_s + left_s:.0f} s: split "
                "it, send it with stream=true to keep what is done, or raise REQUEST_TIMEOUT."
            )

    def so_far(self) -> Transcript:
        """What has been recognised up to now, with the seconds that each stage has taken."""
        segments = self._segments if self._options.words else [replace(s, words=()) for s in self._segments]
        language = self._options.language or next((s.language for s in segments if s.language), None)
        return Transcript(
            text=joined([segment.text for segment in segments]),
            language=language,
            duration_s=self._reader.duration_s,
            segments=tuple(segments),
            timings_s={
                "decode": self._reader.decode_s,
                "vad": self._reader.vad_s,
                "load": self._ticket.load_s,
                "queue": self._ticket.queue_s,
                "recognize": self._ticket.busy_s,
                **({"align": self._ticket.align_s} if self._align else {}),
            },
            warnings=tuple(self._reader.warnings),
        )

    async def _read(self) -> RecordingPiece | None:
        async with self._ticket.in_time("all of its audio was read"):
            return await self._reader.read()

    def _start(self, piece: RecordingPiece) -> asyncio.Task[Hypothesis] | None:
        """None where the VAD finds no speech in the piece: recognisers write text for tones and noise."""
        if piece.speech is None:
            return None
        return asyncio.create_task(self._recognise(piece), name="piece")

    async def _recognise(self, piece: RecordingPiece) -> Hypothesis:
        work = Recognize(piece.audio, self._options.language, self._options.context, words=True)
        hypothesis = await self._ticket.recognize(work)
        hypothesis = without_noise(hypothesis, piece.speech_s, self._noise_confidence)
        if not self._align:
            return hypothesis
        left_s = self._ticket.time_left_s()
        timeout_s = None if left_s is None else ALIGNMENT_SHARE * left_s
        return await with_words(self._ticket, hypothesis, work.audio, timeout_s=timeout_s)
