"""A recording as pieces of at most half a minute: decoded by a process of its own, cut in a thread, on demand.

    DecoderPool (chunks) → SileroVad (probabilities) → PieceCutter (where to cut) → Piece (audio)

Pulled from the event loop, one piece at a time: what is not asked for is not decoded, so nothing piles up.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.backends.cpu import yield_to_live_work
from steno.streaming.audio_buffer import AudioBuffer
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from pathlib import Path

    from steno.audio.decode import MediaInfo
    from steno.types import Audio
    from steno.vad.file_cutter import SpeechPiece as Span
    from steno.vad.silero import SileroVad


@dataclass(frozen=True, slots=True)
class RecordingReaderSettings:
    """How recordings are read and cut."""

    max_audio_s: float = 4 * 3600.0
    """A longer recording is refused."""
    max_piece_s: float = 30.0
    vad_threshold: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class RecordingPiece:
    """A stretch of the recording; times are seconds from its beginning."""

    audio: Audio
    start_s: float
    end_s: float
    speech: tuple[float, float] | None
    """From the first to the last sound that the VAD takes for speech; None where it finds none."""
    speech_s: float = 0.0
    """How much of it the VAD takes for speech."""

    @property
    def extent(self) -> tuple[float, float]:
        """Where its text belongs: the speech in it, or all of it where the VAD hears none."""
        return self.speech or (self.start_s, self.end_s)


VAD_THREADS = 4
"""Recordings that are in the VAD at the same moment, however many are decoded: live streams need the CPU too."""

TURN_S = 60.0
"""Audio after which a decoder gives its thread back, whether it has found a piece or not: silence has none."""


class RecordingOpener:
    """Opens recordings. Holds the VAD's weights, loaded at the first one, the decoders, and a thread for each of them.

    Recordings beyond the decoders wait for one in the order in which they were opened.
    """

    def __init__(self, settings: RecordingReaderSettings, decoders: DecoderPool | None = None) -> None:
        """`decoders`: a pool that nothing else lends from; None = one of the default size."""
        self._settings = settings
        self._decoders = decoders or DecoderPool()
        self._vad: SileroVad | None = None
        self._lock = threading.Lock()
        size = self._decoders.size
        self._shared = ReaderResources(
            decoders=self._decoders,
            free=asyncio.Semaphore(size),
            threads=ThreadPoolExecutor(size, "decode", initializer=yield_to_live_work),
            make_vad=self._fresh_vad,
            vad_turns=threading.Semaphore(VAD_THREADS),
        )

    def open(self, recording: BinaryIO | Path, track: str | None = None) -> RecordingReader:
        """Begin to read; nothing is touched until the first `read`. `track`: as in `decode`."""
        return RecordingReader(recording, self._settings, self._shared, track)

    async def aclose(self) -> None:
        """End all decoders. No recording can be opened any more."""
        await asyncio.to_thread(self._decoders.close)

    def _fresh_vad(self) -> SileroVad:
        from steno.vad.silero import SileroVad

        with self._lock:
            self._vad = self._vad or SileroVad()
            return self._vad.fresh()


@dataclass(frozen=True, slots=True, eq=False)
class ReaderResources:
    """What the recordings of one `RecordingOpener` share."""

    decoders: DecoderPool
    free: asyncio.Semaphore
    """Counts the decoders that no recording has."""
    threads: Executor
    """As many as decoders: each may have to wait for its own."""
    make_vad: Callable[[], SileroVad]
    vad_turns: threading.Semaphore


class DecoderTurn:
    """One recording's right to a decoder, from its first piece until all of it is decoded."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free = free
        self._is_held = self._is_over = False

    async def begin(self) -> None:
        """Wait for it, unless it has begun before."""
        if not self._is_held and not self._is_over:
            await self._free.acquire()
            self._is_held = True

    def end(self) -> None:
        """Let the next one have it. Idempotent."""
        self._is_over = True
        if self._is_held:
            self._is_held = False
            self._free.release()


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
        self._turn = DecoderTurn(shared.free)
        self._cancelled = threading.Event()
        self._pieces = self._cut()
        self._reading: asyncio.Future[RecordingPiece | _Turn | None] | None = None
        self._is_decoded = False
        self.info: MediaInfo | None = None
        """What the header says; there with the first piece."""
        self.warnings: list[str] = []
        """What of the recording is damaged; complete at its end."""
        self.duration_s = 0.0
        """Of what has been decoded so far."""
        self.decode_s = 0.0
        self.vad_s = 0.0

    async def read(self) -> RecordingPiece | None:
        """The next piece, or None at the end. May be cancelled at any time, and `aclose` is due then.

        Raises:
            AudioError: as `DecoderPool.decode` does.
            UnavailableError: no decoder can be started.
        """
        loop = asyncio.get_running_loop()
        await self._turn.begin()
        while True:
            self._reading = loop.run_in_executor(self._shared.threads, next, self._pieces, None)
            # Shielded: a thread cannot be interrupted, so that `aclose` must still be able to wait for it.
            found = await asyncio.shield(self._reading)
            if self._is_decoded:
                self._turn.end()
            if not isinstance(found, _Turn):
                return found

    async def aclose(self) -> None:
        """Stop decoding and end the decoder. Idempotent."""
        self._cancelled.set()
        if self._reading is not None:
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.exception()  # seen by `read`, or of no interest any more
        try:
            await asyncio.get_running_loop().run_in_executor(self._shared.threads, self._pieces.close)
        finally:
            self._turn.end()

    def _cut(self) -> Generator[RecordingPiece | _Turn, None, None]:
        """In a worker thread."""
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
            cancelled=self._cancelled,
            on_open=self._take_info,
            on_warning=self.warnings.append,
        )
        for chunk in self._timed(chunks):
            buffer.append(chunk)
            with self._shared.vad_turns:
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
                yield _Turn()
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


class _Turn:
    """No piece yet; somebody else's turn."""


def _piece(span: Span, buffer: AudioBuffer) -> RecordingPiece:
    from steno.vad.silero import FRAME

    return RecordingPiece(
        audio=buffer.between(span.start, span.end).copy(),
        start_s=span.start / SAMPLE_RATE,
        end_s=span.end / SAMPLE_RATE,
        speech=(span.voiced[0] / SAMPLE_RATE, span.voiced[1] / SAMPLE_RATE) if span.voiced else None,
        speech_s=span.voiced_frames * FRAME / SAMPLE_RATE,
    )
