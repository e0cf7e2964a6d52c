"""Reads a recording as pieces of at most half a minute: a child process decodes it, a thread cuts it, on demand.

    DecoderPool (chunks) → SileroVad (probabilities) → PieceCutter (where to cut) → Piece (audio)

The event loop pulls one piece at a time. Audio is decoded only when a piece is requested, so memory stays bounded.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.backends.cpu import yield_to_live_work
from steno.pipelines.speaker_model import SpeakerModel
from steno.request_ids import run_in_executor
from steno.streaming.audio_buffer import AudioBuffer
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from steno.audio.decode import MediaInfo
    from steno.types import Audio
    from steno.vad.file_cutter import SpeechPiece as Span
    from steno.vad.silero import SileroVad

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RecordingReaderSettings:
    """Settings of reading and cutting recordings."""

    max_audio_s: float = 4 * 3600.0
    """A longer recording is refused."""
    max_piece_s: float = 30.0
    vad_threshold: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RecordingPiece:
    """A range of the recording; times are seconds from its beginning."""

    audio: Audio
    start_s: float
    end_s: float
    speech: tuple[float, float] | None
    """Start of the first and end of the last detected speech; None = no speech."""
    speech_s: float = 0.0
    """Seconds of detected speech."""
    voiced: tuple[tuple[float, float], ...] = ()
    """Where speech was detected, in order."""

    @property
    def extent(self) -> tuple[float, float]:
        """Time range of the text: `speech`, or the whole piece if the VAD detected none."""
        return self.speech or (self.start_s, self.end_s)


VAD_THREADS = 4
"""Max recordings in the VAD at once, however many are decoded: live streams need the CPU too."""

TURN_S = 60.0
"""Audio after which a decoder releases its thread even if no piece is complete: silence gives none."""


class RecordingOpener:
    """Opens recordings. Owns the decoders, a thread for each, and the VAD's weights, loaded with the first recording.

    If all decoders are in use, recordings wait for one in the order in which they were opened.
    """

    def __init__(
        self,
        settings: RecordingReaderSettings,
        decoders: DecoderPool | None = None,
        speaker_model: SpeakerModel | None = None,
    ) -> None:
        """`decoders`: a pool that nothing else uses; None = one of the default size. `speaker_model`: tells speakers
        apart; None = the one that steno ships."""
        self.settings = settings
        self.speaker_model = speaker_model or SpeakerModel()
        self._decoders = decoders or DecoderPool()
        self._vad: SileroVad | None = None
        self._lock = threading.Lock()
        size = self._decoders.size
        self.resources = ReaderResources(
            decoders=self._decoders,
            free=asyncio.Semaphore(size),
            threads=ThreadPoolExecutor(size, "decode", initializer=yield_to_live_work),
            make_vad=self._new_vad,
            vad_slots=threading.Semaphore(VAD_THREADS),
            speaker_model=self.speaker_model,
        )

    def open(self, recording: BinaryIO | Path, track: str | None = None) -> RecordingReader:
        """Create a reader. It opens the recording at its first `read`. `track`: as in `decode`."""
        return RecordingReader(recording, self.settings, self.resources, track)

    async def aclose(self) -> None:
        """End all decoders. No recording can be opened afterwards."""
        await asyncio.to_thread(self._decoders.close)
        self.speaker_model.close()

    def _new_vad(self) -> SileroVad:
        from steno.vad.silero import SileroVad

        with self._lock:
            self._vad = self._vad or SileroVad()
            return self._vad.fresh()


@dataclass(frozen=True, slots=True, eq=False)
class ReaderResources:
    """Resources that the recordings of one `RecordingOpener` share."""

    decoders: DecoderPool
    free: asyncio.Semaphore
    """Counts the idle decoders."""
    threads: Executor
    """One thread per decoder, because each may block on its decoder."""
    make_vad: Callable[[], SileroVad]
    vad_slots: threading.Semaphore
    speaker_model: SpeakerModel


class DecoderRun:
    """One recording's use of a decoder: its reservation, from the first call until it is fully decoded or closed, and
    its calls, which run in a thread, one at a time."""

    def __init__(self, shared: ReaderResources) -> None:
        self._shared = shared
        self._is_held = self._is_released = False
        self._running: asyncio.Future[Any] | None = None
        self.cancelled = threading.Event()
        """Set by `aclose`; stops the decoder."""

    async def call(self, function: Callable[[], T]) -> T:
        """Wait for a free decoder if none is held yet, and run `function` in a thread. May be cancelled at any time."""
        if not self._is_held and not self._is_released:
            await self._shared.free.acquire()
            self._is_held = True
        running = run_in_executor(self._shared.threads, function)
        self._running = running
        # Shielded, because a thread cannot be interrupted and `aclose` must still be able to wait for it.
        return await asyncio.shield(running)

    def release(self) -> None:
        """Release the decoder. Idempotent."""
        self._is_released = True
        if self._is_held:
            self._is_held = False
            self._shared.free.release()

    async def aclose(self, end: Callable[[], None]) -> None:
        """Stop decoding: wait for the running call, then run `end` in a thread and release the decoder. Idempotent."""
        self.cancelled.set()
        if self._running is not None:
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.exception()  # marks it as retrieved; `call` has raised it or was cancelled
        try:
            await run_in_executor(self._shared.threads, end)
        finally:
            self.release()


class RecordingReader:
    """Reads one recording. `read` and `aclose` belong to one task."""

    def __init__(
        self,
        recording: BinaryIO | Path,
        settings: RecordingReaderSettings,
        shared: ReaderResources,
        track: str | None = None,
    ) -> None:
        self._recording = recording
        self._track = track
        self._settings = settings
        self._shared = shared
        self._run = DecoderRun(shared)
        self._pieces = self._cut()
        self._is_decoded = False
        self.info: MediaInfo | None = None
        """Contents of the header; set with the first piece."""
        self.warnings: list[str] = []
        """Damage found in the recording; complete at its end."""
        self.duration_s = 0.0
        """Seconds decoded so far."""
        self.decode_s = 0.0
        self.vad_s = 0.0

    @property
    def speaker_model(self) -> SpeakerModel:
        """Tells its speakers apart."""
        return self._shared.speaker_model

    async def read(self) -> RecordingPiece | None:
        """The next piece, or None at the end. May be cancelled at any time; call `aclose` then.

        Raises:
            AudioError: as `DecoderPool.decode` does.
            UnavailableError: no decoder can be started.
        """
        while True:
            found = await self._run.call(lambda: next(self._pieces, None))
            if self._is_decoded:
                self._run.release()
            if not isinstance(found, _Pause):
                return found

    async def aclose(self) -> None:
        """Stop decoding and end the decoder. Idempotent."""
        await self._run.aclose(self._pieces.close)

    def _cut(self) -> Generator[RecordingPiece | _Pause, None, None]:
        """Yield pieces, and a `_Pause` after each `TURN_S` of audio. Runs in a worker thread."""
        from steno.vad.config import SegmenterConfig
        from steno.vad.file_cutter import FileCutter
        from steno.vad.file_cutter import SpeechPiece as Span
        from steno.vad.levels import frame_levels
        from steno.vad.silero import FRAME

        threshold, max_s = self._settings.vad_threshold, self._settings.max_piece_s
        cutter = FileCutter(
            SegmenterConfig(
                threshold=threshold, release=min(0.35, 0.7 * threshold), search_from_s=0.8 * max_s, max_s=max_s
            )
        )
        vad = self._shared.make_vad()
        buffer = AudioBuffer()
        observed = 0
        turn_began_s = 0.0
        chunks = self._shared.decoders.decode(
            self._recording,
            max_seconds=self._settings.max_audio_s,
            track=self._track,
            cancelled=self._run.cancelled,
            on_open=self._take_info,
            on_warning=self.warnings.append,
        )
        for chunk in self._timed(chunks):
            buffer.append(chunk)
            with self._shared.vad_slots:
                began = time.perf_counter()
                probabilities = vad.feed(chunk)
                until = observed + len(probabilities) * FRAME
                spans = cutter.feed(probabilities, frame_levels(buffer.between(observed, until)))
                observed = until
                self.vad_s += time.perf_counter() - began
            yield from (_piece(span, buffer) for span in spans if isinstance(span, Span))
            buffer.forget_before(min(cutter.settled, observed))
            if self.duration_s - turn_began_s >= TURN_S:
                turn_began_s = self.duration_s
                yield _Pause()
        self._is_decoded = True
        yield from (_piece(span, buffer) for span in cutter.flush(buffer.end) if isinstance(span, Span))

    def _take_info(self, info: MediaInfo) -> None:
        self.info = info

    def _timed(self, chunks: Iterator[Audio]) -> Iterator[Audio]:
        while True:
            began = time.perf_counter()
            chunk = next(chunks, None)
            self.decode_s += time.perf_counter() - began
            if chunk is None:
                return
            self.duration_s += len(chunk) / SAMPLE_RATE
            yield chunk


class _Pause:
    """No piece yet; releases the thread to other recordings."""


def _piece(span: Span, buffer: AudioBuffer) -> RecordingPiece:
    from steno.vad.silero import FRAME

    return RecordingPiece(
        audio=buffer.between(span.start, span.end).copy(),
        start_s=span.start / SAMPLE_RATE,
        end_s=span.end / SAMPLE_RATE,
        speech=(span.voiced[0] / SAMPLE_RATE, span.voiced[1] / SAMPLE_RATE) if span.voiced else None,
        speech_s=span.voiced_frames * FRAME / SAMPLE_RATE,
        voiced=tuple((start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in span.voiced_runs),
    )
