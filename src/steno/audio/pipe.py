"""A live container stream, decoded by a thread of its own while an event loop brings its bytes and takes its audio.

    loop: feed ─ bytes ─▶ Pipe.read ─▶ FFmpeg ─▶ Mixer ─▶ Resampler ─▶ Pipe.put ─ audio ─▶ loop

FFmpeg can only pull, so it needs a thread that may wait: for bytes, and until its audio has been taken. Both sides are
bounded: a slice of bytes goes in, seconds of audio come out, and neither side runs ahead of the other.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from loguru import logger

from steno.audio.container import Accepted, check_shape, open_media
from steno.audio.mix import Mixer
from steno.audio.resample import Resampler
from steno.audio.source import DecodeCancelled
from steno.errors import AudioError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from av import AudioFrame

    from steno.types import Audio

MAX_READY = 4 * SAMPLE_RATE
"""Samples that wait to be taken; then the thread waits. 16 KiB of silence in FLAC can be hours."""

SLICE_BYTES = 1 << 14

CLOSE_TIMEOUT_S = 5.0
"""A single call into FFmpeg cannot be interrupted; damaged headers have taken it seconds."""

EXIT_TIMEOUT_S = 1.0

THREAD_NAME = "steno-live-decoder"

_numbers = itertools.count(1)


class Pipe(io.RawIOBase):
    """Between the loop (`supply`, `take`, `end`, `abort`) and the thread (`read`, `put`, `finish`)."""

    def __init__(self, notify: Callable[[], None], max_undecoded: int) -> None:
        """`notify` is called in the thread when there is something to look at: `settled`, or audio."""
        self.cancelled = threading.Event()
        self.finished = False
        self.overflowed = False
        self.failure: AudioError | None = None
        self._notify = notify
        self._changed = threading.Condition()
        self._bytes = b""
        self._undecoded, self._max_undecoded = 0, max_undecoded
        self._ended = self._waiting = False
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

    def read(self, size: int = -1, /) -> bytes:
        """What there is, `size` bytes of it at most; waits only where there is nothing. Empty = the end."""
        with self._changed:
            if self._undecoded > self._max_undecoded:
                self.overflowed = True
            while not (self._bytes or self._ended or self.cancelled.is_set() or self.overflowed):
                self._waiting = True
                self._notify()
                self._changed.wait()
            if self.overflowed:
                return b""
            data, self._bytes = self._bytes[:size], self._bytes[size:]
            self._undecoded += len(data)
            return data

    def put(self, audio: Audio) -> None:
        """Offer `audio`, of any length; waits while `MAX_READY` has not been taken."""
        with self._changed:
            self._undecoded = 0
            for start in range(0, len(audio), SAMPLE_RATE):
                while self._ready_samples >= MAX_READY and not self.cancelled.is_set():
                    self._changed.wait()
                self._ready.append(audio[start : start + SAMPLE_RATE])
                self._ready_samples += len(self._ready[-1])
                if self._ready_samples >= SAMPLE_RATE:
                    self._notify()

    def finish(self, failure: AudioError | None) -> None:
        with self._changed:
            self.finished, self.failure = True, failure
            self._bytes = b""
            self._notify()


class Converter:
    """Decoded frames to mono at `SAMPLE_RATE`, in [-1, 1]. Their rate may change on the way."""

    def __init__(self) -> None:
        self._mixer = Mixer()
        self._resampler: Resampler | None = None

    def convert(self, frame: AudioFrame) -> Audio:
        rest = None
        check_shape(frame.sample_rate, frame.layout.nb_channels)
        if self._resampler is None or self._resampler.rate != frame.sample_rate:
            rest, self._resampler = self.flush(), Resampler(frame.sample_rate)
        audio = _clipped(self._resampler.feed(self._mixer.mix(frame)))
        return audio if rest is None else np.concatenate([rest, audio])

    def flush(self) -> Audio:
        """What the resampler holds back. The next frame begins a new stream in it."""
        if self._resampler is None:
            return np.zeros(0, np.float32)
        return _clipped(self._resampler.flush())


class StreamDecoder:
    """Decodes one container stream. Belongs to the running event loop; one call at a time, but `aclose` at any."""

    def __init__(self, accepted: Accepted, max_undecoded: int) -> None:
        """`max_undecoded`: bytes without a single frame of audio, in the header or later, after which it gives up."""
        loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._pipe = Pipe(_notifier(loop, self._news), max_undecoded)
        self._converter = Converter()
        # A daemon, ended by a finalizer: else one that nobody closed would keep the process alive.
        self._thread = threading.Thread(
            target=_decode,
            args=(self._pipe, self._converter, accepted),
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
        """Yield what `data` gives, a second at most at a time. Raises `AudioError`, once, where it cannot go on."""
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
        pieces = [piece async for piece in self._until_settled()]
        # The thread waits for bytes, which only `feed` brings: nobody else uses the resampler now.
        return np.concatenate([*pieces, self._converter.flush()])

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


def _clipped(audio: Audio) -> Audio:
    """The resampler overshoots."""
    clipped: Audio = np.clip(audio, -1, 1)
    return clipped


def _notifier(loop: asyncio.AbstractEventLoop, news: asyncio.Event) -> Callable[[], None]:
    def notify() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(news.set)

    return notify


def _end(pipe: Pipe, thread: threading.Thread) -> None:
    """Where nobody called `aclose`, also when the process ends: it must not take the thread's memory from under it."""
    pipe.abort()
    if thread is not threading.current_thread():
        thread.join(EXIT_TIMEOUT_S)


def _decode(pipe: Pipe, converter: Converter, accepted: Accepted) -> None:
    """The thread. Holds no reference to its `StreamDecoder`, whose end it could not notice otherwise."""
    failure: AudioError | None = None
    try:
        with open_media(pipe, pipe.cancelled, accepted) as media:
            for frame in media.frames():
                pipe.put(converter.convert(frame))
            pipe.put(converter.flush())
            if media.damaged_packets:
                logger.warning("{} packets of a live stream could not be decoded", media.damaged_packets)
            if media.broke_off:
                failure = UndecodableAudioError("The stream is damaged: it cannot be read any further.")
    except DecodeCancelled:
        pass
    except AudioError as error:
        failure = error
    except Exception:  # noqa: BLE001 - a thread has nobody to raise to
        logger.exception("decoding a live stream failed")
        failure = UndecodableAudioError("The stream cannot be decoded.")
    if pipe.overflowed:
        failure = UndecodableAudioError("The stream is damaged: too much of it came without any audio.")
    pipe.finish(failure)
