"""Transcribes one file: decodes and cuts it in a thread, recognises pieces in parallel, yields segments in order.

The whole recording is never in memory: a piece is decoded when a worker is free, and released once it has its text.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import TracebackType

from steno.backends.base import Recognize
from steno.captions.script import joined
from steno.engine.front import Engine
from steno.engine.ticket import Ticket
from steno.errors import AudioTooLongError
from steno.pipelines.align import with_words
from steno.pipelines.noise import without_noise
from steno.pipelines.recording_reader import RecordingPiece, RecordingReader
from steno.pipelines.recording_speakers import RecordingSpeakers, SpeakerOptions
from steno.pipelines.segments import segments_of
from steno.types import Hypothesis, Segment, Transcript

PACE_AFTER_S = 10.0
"""The pace of a transcription is checked only after this many seconds."""

PACE_AFTER_ROUNDS = 2

PACE_MARGIN = 1.5
"""A transcription is refused if it needs this many times the time left. Above 1 because load varies."""

ALIGNMENT_SHARE = 0.3
"""Max share of a request's remaining time that aligning one piece may take, so that alignment never costs text."""


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Options of one file transcription."""

    language: str | None = None
    """ISO 639-1; None = detect."""
    context: str = ""
    words: bool = False
    track: str | None = None
    """The audio track, as in `steno.audio.decode.decode`."""
    speakers: SpeakerOptions | None = None
    """Tell the speakers apart; None = don't. Segments have them once all of the recording is recognised."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """The recording is recognised up to `end_s`. `segments` are those of the last piece; empty for silence."""

    end_s: float
    segments: tuple[Segment, ...]


class FileTranscription:
    """The transcription of one recording. Use it as `async with`; leaving it stops the decoder and all work.

    Args:
        reader: the recording.
        parallel: max pieces in progress, asked before each piece.
        align: get word times from the engine's aligner, if `options.words`.
        noise_confidence: the recogniser's `Capabilities.noise_confidence`.
    """

    def __init__(
        self,
        reader: RecordingReader,
        ticket: Ticket,
        options: FileOptions,
        *,
        parallel: Callable[[], int] = lambda: 1,
        align: bool = False,
        noise_confidence: float = 0.0,
    ) -> None:
        self._reader = reader
        self._ticket = ticket
        self._options = options
        self._parallel = parallel
        self._side_by_side = 1
        self._align = align and options.words
        self._noise_confidence = noise_confidence
        self._first: RecordingPiece | None = None
        self._opened = False
        self._in_progress: deque[tuple[RecordingPiece, asyncio.Task[Hypothesis] | None]] = deque()
        self._segments: list[Segment] = []
        wanted = options.speakers
        self._speakers = RecordingSpeakers(reader.speaker_model, wanted) if wanted is not None else None
        self.speech: list[tuple[float, float]] = []
        """Where speech was detected in the pieces recognised so far."""

    @classmethod
    def on(cls, engine: Engine, reader: RecordingReader, ticket: Ticket, options: FileOptions) -> FileTranscription:
        """Create a transcription with the settings of the engine and its backend."""
        return cls(
            reader,
            ticket,
            options,
            parallel=lambda: engine.parallelism,
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
        tasks = [task for _, task in self._in_progress if task is not None]
        self._in_progress.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._speakers is not None:
            await self._speakers.aclose()
        await self._reader.aclose()

    async def open(self) -> None:
        """Decode the first piece, so that unusable audio is reported before the response starts.

        Raises:
            AudioError: the audio cannot be used.
        """
        if not self._opened:
            self._first = await self._read()
            self._opened = True

    async def run(self) -> AsyncGenerator[Recognized, None]:
        """Recognise all pieces and yield their segments in order, each as soon as it is available.

        Raises:
            StenoError: what `open` or the engine raises. Segments that were yielded before remain valid.
        """
        await self.open()
        piece = self._first
        while piece is not None or self._in_progress:
            while piece is not None and len(self._in_progress) < self._parallel():
                self._in_progress.append((piece, self._start(piece)))
                if self._speakers is not None:
                    await self._speakers.add(piece)
                self._side_by_side = max(self._side_by_side, len(self._in_progress))
                piece = await self._read()
            done, task = self._in_progress[0]
            added = segments_of(await task, done, len(self._segments)) if task is not None else ()
            self._in_progress.popleft()
            self._segments.extend(added)
            if done.speech is not None:
                self.speech.append(done.speech)
            yield Recognized(done.end_s, added)
        if self._speakers is not None:
            self._segments = await self._speakers.label(self._segments)

    async def transcript(self, on_progress: Callable[[float], None] = lambda _: None) -> Transcript:
        """Run to the end and return the whole transcript. `on_progress` gets the seconds recognised so far.

        Raises:
            AudioTooLongError: at its present pace the transcription would exceed the request's time limit.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        async with aclosing(self.run()) as parts:
            pieces = 0
            async for part in parts:
                pieces += 1
                on_progress(part.end_s)
                if pieces >= PACE_AFTER_ROUNDS * self._side_by_side:  # pieces that run side by side end together
                    self._check_pace(part.end_s, clock() - began)
        return self.so_far()

    def _check_pace(self, done_s: float, took_s: float) -> None:
        """Fail early: a request that times out returns no text."""
        info = self._reader.info
        total_s = info.duration_s if info is not None and info.is_exact else None
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
        """The transcript up to now, with the seconds that each stage has taken."""
        segments = self._segments if self._options.words else [replace(s, words=()) for s in self._segments]
        language = self._options.language or next((s.language for s in segments if s.language), None)
        return Transcript(
            text=joined([segment.text for segment in segments]),
            language=language,
            duration_s=self._reader.duration_s,
            segments=tuple(segments),
            timings_s=self.timings_s(),
            warnings=tuple(self._reader.warnings),
        )

    def timings_s(self) -> dict[str, float]:
        """The seconds of each stage up to now, as in `stage_times`."""
        return {
            "decode": self._reader.decode_s,
            "vad": self._reader.vad_s,
            "load": self._ticket.load_s,
            "wait": self._ticket.queue_s,
            "recognize": self._ticket.busy_s,
            **({"align": self._ticket.align_s} if self._align else {}),
            **({"speakers": self._speakers.took_s} if self._speakers is not None else {}),
        }

    @property
    def tells_speakers(self) -> bool:
        """Whether `so_far` has the speakers after the last piece; its segments may be others than those of `run`."""
        return self._speakers is not None

    @property
    def total_s(self) -> float | None:
        """Length of the recording, as its header says; None if it does not, or before `open`."""
        return self._reader.info.duration_s if self._reader.info is not None else None

    async def _read(self) -> RecordingPiece | None:
        async with self._ticket.in_time("all of its audio was read"):
            return await self._reader.read()

    def _start(self, piece: RecordingPiece) -> asyncio.Task[Hypothesis] | None:
        """Start recognition; None if the VAD found no speech, because recognisers emit text for tones and noise."""
        if piece.speech is None:
            return None
        return asyncio.create_task(self._recognise(piece), name="piece")

    async def _recognise(self, piece: RecordingPiece) -> Hypothesis:
        work = Recognize(piece.audio, self._options.language, self._options.context, words=True)
        hypothesis = await self._ticket.recognize(work)
        hypothesis = without_noise(hypothesis, piece.speech_s, self._noise_confidence)
        if not self._align:
            return hypothesis
        return await with_words(self._ticket, hypothesis, work.audio, timeout_s=alignment_timeout_s(self._ticket))


def alignment_timeout_s(ticket: Ticket) -> float | None:
    """Time limit of one alignment: a share of what is left of the request's; None = no limit."""
    left_s = ticket.time_left_s()
    return None if left_s is None else ALIGNMENT_SHARE * left_s
