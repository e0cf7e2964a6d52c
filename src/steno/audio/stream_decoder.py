"""Decodes a live container stream in its own process, while an event loop supplies its bytes and takes its audio.

    loop: feed ─ bytes ─▶ Pipe.read ─ thread ─▶ decoder process ─ thread ─▶ Pipe.put ─ audio ─▶ loop

FFmpeg can only pull, so a thread connects the two: it waits for bytes, for the process, and until the audio has been
taken. Both sides are bounded (back-pressure): a slice of bytes in, seconds of audio out.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from loguru import logger

from steno.audio.container import AcceptedFormats
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.source import DecodeCancelled
from steno.errors import StenoError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

MAX_READY_SAMPLES = 4 * SAMPLE_RATE
"""Max samples that wait to be taken; then the thread blocks. 16 KiB of silence in FLAC can be hours."""

SLICE_BYTES = 1 << 14

CLOSE_TIMEOUT_S = 5.0
"""Timeout of closing; an aborted decoder is killed within a second."""

WAIT_S = 60.0
"""The longest single wait of the thread; then it checks its conditions again."""

EXIT_TIMEOUT_S = 1.0

THREAD_NAME = "steno-live-decoder"

_numbers = itertools.count(1)


class ThreadPipe:
    """Connects the event loop (`supply`, `take`, `end`, `abort`) and the thread (`read`, `put`, `finish`)."""

    def __init__(self, notify: Callable[[], None], max_undecoded: int) -> None:
        """`notify` is called in the thread when `settled` or the available audio changes."""
        self.cancelled = threading.Event()
        self.finished = False
        self.overflowed = False
        self.failure: StenoError | None = None
        self._notify = notify
        self._changed = threading.Condition()
        self._bytes = b""
        self._undecoded, self._max_undecoded = 0, max_undecoded
        self._ended = self._waiting = self._flushing = False
        self._ready: deque[Audio] = deque()
        self._ready_samples = 0

    @property
    def settled(self) -> bool:
        """Whether all bytes have been decoded and their audio can be taken, or the thread is done."""
        with self._changed:
            return self.finished or (self._waiting and not self._bytes and not self._ended)

    def supply(self, data: bytes) -> None:
        with self._changed:
            self._bytes += data
            self._waiting = False
            self._changed.notify_all()

    def flush(self) -> None:
        """Make the decoder emit what it holds back; bytes may follow."""
        with self._changed:
            if not self.finished:
                self._flushing, self._waiting = True, False
            self._changed.notify_all()

    def take(self) -> Audio | None:
        """The audio that is ready, at most 1 s; None = nothing."""
        with self._changed:
            pieces = [self._ready.popleft()] if self._ready else []
            free = SAMPLE_RATE - sum(map(len, pieces))
            while self._ready and len(self._ready[0]) <= free:
                pieces.append(self._ready.popleft())
                free -= len(pieces[-1])
            self._ready_samples -= sum(map(len, pieces))
            self._changed.notify_all()
        return np.concatenate(pieces) if pieces else None

    def end(self) -> None:
        """No more bytes will come; the rest is decoded."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Cancel: no more bytes will come, and the audio is discarded."""
        with self._changed:
            self.cancelled.set()
            self._changed.notify_all()

    def read(self, size: int, /) -> bytes | None:
        """At most `size` available bytes; blocks only if there are none. Empty = the end; None = flush."""
        with self._changed:
            if self._undecoded > self._max_undecoded:
                self.overflowed = True
            while not (self._bytes or self._flushing or self._stopped()):
                self._waiting = True
                self._notify()
                self._changed.wait(WAIT_S)
            if self.overflowed or self.cancelled.is_set():
                return b""
            if self._flushing and not self._bytes:
                self._flushing = False
                return None
            data, self._bytes = self._bytes[:size], self._bytes[size:]
            self._undecoded += len(data)
            return data

    def put(self, audio: Audio) -> None:
        """Queue `audio` of any length; blocks while `MAX_READY_SAMPLES` samples wait to be taken."""
        with self._changed:
            self._undecoded = 0
            for start in range(0, len(audio), SAMPLE_RATE):
                while self._ready_samples >= MAX_READY_SAMPLES and not self.cancelled.is_set():
                    self._changed.wait(WAIT_S)
                self._ready.append(audio[start : start + SAMPLE_RATE])
                self._ready_samples += len(self._ready[-1])
                if self._ready_samples >= SAMPLE_RATE:
                    self._notify()

    def finish(self, failure: StenoError | None) -> None:
        with self._changed:
            self.finished, self.failure = True, failure
            self._bytes, self._flushing = b"", False
            self._notify()

    def _stopped(self) -> bool:
        return self._ended or self.overflowed or self.cancelled.is_set()


class StreamDecoder:
    """Decodes one container stream. Belongs to the running event loop; one call at a time, but `aclose` at any."""

    def __init__(self, decoders: DecoderPool, accepted: AcceptedFormats, max_undecoded: int) -> None:
        """`max_undecoded`: bytes without a frame of audio, in the header or later, after which decoding fails."""
        loop, self._changed_event = asyncio.get_running_loop(), asyncio.Event()
        self._pipe = ThreadPipe(_notifier(loop, self._changed_event), max_undecoded)
        # A daemon, ended by a finalizer: otherwise an unclosed decoder would keep the process alive.
        self._thread = threading.Thread(
            target=_decode,
            args=(self._pipe, decoders, accepted),
            name=f"{THREAD_NAME}-{next(_numbers)}",
            daemon=True,
        )
        self._thread.start()
        weakref.finalize(self, _end, self._pipe, self._thread)

    @property
    def finished(self) -> bool:
        """Whether it accepts no more bytes: the stream is unreadable, or the recording has ended."""
        return self._pipe.finished

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        """Yield the audio of `data`, at most 1 s at a time.

        Raises, once, if decoding fails: see `DecoderPool.stream`.
        """
        for start in range(0, len(data), SLICE_BYTES):
            if self._pipe.finished:
                break
            self._pipe.supply(data[start : start + SLICE_BYTES])
            async for piece in self._take_until_settled():
                yield piece
        failure, self._pipe.failure = self._pipe.failure, None
        if failure is not None:
            raise failure

    async def flush(self) -> Audio:
        """All audio that has not been taken, with the resampler's rest; decoding may continue."""
        self._pipe.flush()
        pieces = [piece async for piece in self._take_until_settled()]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    async def finish(self) -> AsyncGenerator[Audio, None]:
        """Signal the end of the bytes, yield the rest, and end the thread. Failures are not raised."""
        self._pipe.end()
        async for piece in self._take_until_settled():
            yield piece
        await self.aclose()

    async def aclose(self) -> None:
        """End the thread and wait for it, at most `CLOSE_TIMEOUT_S`. Idempotent."""
        self._pipe.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not self._pipe.finished:
                    self._changed_event.clear()
                    await self._changed_event.wait()
        except TimeoutError:
            logger.warning("a live stream's decoder is still busy after {:g} s; it will end by itself", CLOSE_TIMEOUT_S)
            return
        self._thread.join()  # it has nothing left to do

    async def _take_until_settled(self) -> AsyncGenerator[Audio, None]:
        while True:
            self._changed_event.clear()
            settled = self._pipe.settled  # read first, so that no audio can follow what is taken below
            while (piece := self._pipe.take()) is not None:
                yield piece
            if settled:
                return
            await self._changed_event.wait()


def _notifier(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> Callable[[], None]:
    def notify() -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(changed.set)

    return notify


def _end(pipe: ThreadPipe, thread: threading.Thread) -> None:
    """Finalizer if `aclose` was not called, also at exit: the thread must not outlive its memory."""
    pipe.abort()
    if thread is not threading.current_thread():
        thread.join(EXIT_TIMEOUT_S)


def _decode(pipe: ThreadPipe, decoders: DecoderPool, accepted: AcceptedFormats) -> None:
    """The thread. It holds no reference to its `StreamDecoder`, so that the finalizer can run."""
    failure: StenoError | None = None
    try:
        for audio in decoders.stream(pipe, accepted, pipe.cancelled):
            pipe.put(audio)
    except DecodeCancelled:
        pass
    except StenoError as error:
        failure = error
    except Exception:  # noqa: BLE001 - the thread's boundary: logged, and delivered
        logger.exception("decoding a live stream failed")
        failure = UndecodableAudioError("The stream cannot be decoded.")
    if pipe.overflowed:
        failure = UndecodableAudioError("The stream is damaged: it has too many bytes without audio.")
    pipe.finish(failure)
