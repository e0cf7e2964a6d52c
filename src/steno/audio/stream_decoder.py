"""A live container stream, decoded by a process of its own while an event loop brings its bytes and takes its audio.

    loop: feed ─ bytes ─▶ Pipe.read ─ thread ─▶ decoder process ─ thread ─▶ Pipe.put ─ audio ─▶ loop

FFmpeg can only pull, so a thread stands between: it waits for bytes, for the process, and until the audio has been
taken. Both sides are bounded: a slice of bytes goes in, seconds of audio come out, and neither side runs ahead.
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

MAX_READY = 4 * SAMPLE_RATE
"""Samples that wait to be taken; then the thread waits. 16 KiB of silence in FLAC can be hours."""

SLICE_BYTES = 1 << 14

CLOSE_TIMEOUT_S = 5.0
"""A decoder that is given up is killed within a second."""

WAIT_S = 60.0
"""The longest single wait of the thread; then it looks again whether anything has changed."""

EXIT_TIMEOUT_S = 1.0

THREAD_NAME = "steno-live-decoder"

_numbers = itertools.count(1)


class ThreadPipe:
    """Between the loop (`supply`, `take`, `end`, `abort`) and the thread (`read`, `put`, `finish`)."""

    def __init__(self, notify: Callable[[], None], max_undecoded: int) -> None:
        """`notify` is called in the thread when there is something to look at: `settled`, or audio."""
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
        """All bytes have been used, and what they gave can be taken; or the thread is done."""
        with self._changed:
            return self.finished or (self._waiting and not self._bytes and not self._ended)

    def supply(self, data: bytes) -> None:
        with self._changed:
            self._bytes += data
            self._waiting = False
            self._changed.notify_all()

    def flush(self) -> None:
        """Have what the decoder holds back come out; bytes may follow."""
        with self._changed:
            if not self.finished:
                self._flushing, self._waiting = True, False
            self._changed.notify_all()

    def take(self) -> Audio | None:
        """What is ready, at most a second of it; None = nothing."""
        with self._changed:
            pieces = [self._ready.popleft()] if self._ready else []
            room = SAMPLE_RATE - sum(map(len, pieces))
            while self._ready and len(self._ready[0]) <= room:
                pieces.append(self._ready.popleft())
                room -= len(pieces[-1])
            self._ready_samples -= sum(map(len, pieces))
            self._changed.notify_all()
        return np.concatenate(pieces) if pieces else None

    def end(self) -> None:
        """No more bytes will come: what is left comes out."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def abort(self) -> None:
        """No more bytes will come, and nobody wants the audio."""
        with self._changed:
            self.cancelled.set()
            self._changed.notify_all()

    def read(self, size: int, /) -> bytes | None:
        """What there is, `size` bytes at most; waits only where there is nothing. Empty = the end; None = flush."""
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
        """Offer `audio`, of any length; waits while `MAX_READY` has not been taken."""
        with self._changed:
            self._undecoded = 0
            for start in range(0, len(audio), SAMPLE_RATE):
                while self._ready_samples >= MAX_READY and not self.cancelled.is_set():
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
        """`max_undecoded`: bytes without a single frame of audio, in the header or later, after which it gives up."""
        loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._pipe = ThreadPipe(_notifier(loop, self._news), max_undecoded)
        # A daemon, ended by a finalizer: else one that nobody closed would keep the process alive.
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
        """It will take no more bytes: they are damaged beyond reading, or the recording says that it is over."""
        return self._pipe.finished

    async def feed(self, data: bytes) -> AsyncGenerator[Audio, None]:
        """Yield what `data` gives, a second at most at a time.

        Raises, once, where it cannot go on: what `DecoderPool.stream` does.
        """
        for start in range(0, len(data), SLICE_BYTES):
            if self._pipe.finished:
                break
            self._pipe.supply(data[start : start + SLICE_BYTES])
            async for piece in self._until_settled():
                yield piece
        failure, self._pipe.failure = self._pipe.failure, None
        if failure is not None:
            raise failure

    async def flush(self) -> Audio:
        """Whatever has not been taken, with the resampler's rest; decoding can go on."""
        self._pipe.flush()
        pieces = [piece async for piece in self._until_settled()]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    async def finish(self) -> AsyncGenerator[Audio, None]:
        """Say that no more bytes will come, yield what is left, and end the thread. Failures are not told."""
        self._pipe.end()
        async for piece in self._until_settled():
            yield piece
        await self.aclose()

    async def aclose(self) -> None:
        """End the thread and wait for that, `CLOSE_TIMEOUT_S` at most. May be called again."""
        self._pipe.abort()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while not self._pipe.finished:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            logger.warning("a live stream's decoder is still busy after {:g} s; it will end by itself", CLOSE_TIMEOUT_S)
            return
        self._thread.join()  # it has nothing left to do

    async def _until_settled(self) -> AsyncGenerator[Audio, None]:
        while True:
            self._news.clear()
            settled = self._pipe.settled  # asked first: then nothing can come after what is taken below
            while (piece := self._pipe.take()) is not None:
                yield piece
            if settled:
                return
            await self._news.wait()


def _notifier(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> Callable[[], None]:
    def notify() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(news.set)

    return notify


def _end(pipe: ThreadPipe, thread: threading.Thread) -> None:
    """Where nobody called `aclose`, also when the process ends: it must not take the thread's memory from under it."""
    pipe.abort()
    if thread is not threading.current_thread():
        thread.join(EXIT_TIMEOUT_S)


def _decode(pipe: ThreadPipe, decoders: DecoderPool, accepted: AcceptedFormats) -> None:
    """The thread. Holds no reference to its `StreamDecoder`, whose end it could not notice otherwise."""
    failure: StenoError | None = None
    try:
        for audio in decoders.stream(pipe, accepted, pipe.cancelled):
            pipe.put(audio)
    except DecodeCancelled:
        pass
    except StenoError as error:
        failure = error
    except Exception:  # noqa: BLE001 - a thread has nobody to raise to
        logger.exception("decoding a live stream failed")
        failure = UndecodableAudioError("The stream cannot be decoded.")
    if pipe.overflowed:
        failure = UndecodableAudioError("The stream is damaged: too much of it came without any audio.")
    pipe.finish(failure)
