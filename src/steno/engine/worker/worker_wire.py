"""Messages between a server process and its worker, as MessagePack over a stream socket.

A message is its length (4 bytes, little-endian) and its body. Audio travels as float32 samples, `SAMPLE_RATE` mono.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.engine.protocol import EngineStatus
from steno.engine.queue import Priority, Work
from steno.errors import RetryableError, StenoError
from steno.types import Hypothesis

MAX_MESSAGE_BYTES = 32 * 2**20
MAX_UNSENT_BYTES = 64 * 2**20
"""Unsent bytes above which a connection is given up: its peer does not read."""
CLOGGED_BYTES = 4 * 2**20
"""Unsent bytes above which `is_clogged`, and `drained` waits: two pieces of 30 s."""

M = TypeVar("M")
_HEAD = struct.Struct("<I")


class Recognition(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """`Recognize` without its audio."""

    language: str | None
    context: str
    words: bool
    utterance: str | None
    final: bool
    stream: str | None
    stable: str


class TextAlignment(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """`Align` without its audio."""

    text: str
    language: str | None
    is_live: bool


class Submit(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Run a job. The worker loads the model first if it has to."""

    job: int
    priority: Priority
    timeout_s: float
    work: Recognition | TextAlignment
    audio_from: int
    """The utterance's samples that the worker keeps from earlier jobs; `audio` follows them."""
    audio: bytes
    traceparent: str | None = None
    """The span that the job's steps belong to (W3C Trace Context)."""
    request_id: str | None = None
    """What the worker's log lines about the job have."""


class Cancel(msgspec.Struct, tag=True, array_like=True, frozen=True):
    job: int


class Forget(msgspec.Struct, tag=True, array_like=True, frozen=True):
    utterance: str


class Prepare(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Load a model; answered by `Done` or `Failure`."""

    call: int
    aligner: bool


class StartLoadingAligner(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Load the aligner; its status tells the rest."""


class Leases(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """How many leases of each kind this connection holds from now on, by `Lease`."""

    counts: tuple[int, int, int]


class Hello(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """The worker's first message."""

    version: str


class Started(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A job has left the queue for the backend."""

    job: int


class Done(msgspec.Struct, tag=True, array_like=True, frozen=True):
    call: int
    """A job's or a `Prepare`'s number."""
    hypothesis: Hypothesis | None = None
    alignment: Alignment | None = None


class Failure(msgspec.Struct, tag=True, array_like=True, frozen=True):
    call: int
    kinds: tuple[str, ...]
    """The error's class and its base classes, most special first."""
    message: str
    param: str | None
    retry_after_s: float


class Measurement(msgspec.Struct, array_like=True, frozen=True):
    """A call of `Telemetry`."""

    method: str
    values: tuple[float, ...]


class Report(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Sent every `REPORT_S`: the worker lives."""

    status: EngineStatus
    busy_s: float
    """How long the step or call that runs longest has been running."""
    measurements: tuple[Measurement, ...]


ToWorker: TypeAlias = Submit | Cancel | Forget | Prepare | StartLoadingAligner | Leases
FromWorker: TypeAlias = Hello | Started | Done | Failure | Report

to_worker = msgspec.msgpack.Decoder(ToWorker)
from_worker = msgspec.msgpack.Decoder(FromWorker)
_encoder = msgspec.msgpack.Encoder()


class WorkerGoneError(Exception):
    """The peer has closed the connection, died, or sent something invalid."""


class Connection:
    """Sends messages, and receives those of the other direction. For one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        writer.transport.set_write_buffer_limits(high=CLOGGED_BYTES)

    @property
    def is_clogged(self) -> bool:
        """Whether the peer has much to read."""
        return self._writer.transport.get_write_buffer_size() > CLOGGED_BYTES

    async def drained(self) -> None:
        """Return once the peer has read most of what was sent.

        Raises:
            WorkerGoneError: the connection has ended.
        """
        try:
            await self._writer.drain()
        except OSError as error:
            error.__traceback__ = None
            raise WorkerGoneError(type(error).__name__) from None

    def send(self, message: ToWorker | FromWorker) -> None:
        """Queue `message`. A connection whose peer does not read is aborted; `receive` then says so."""
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._writer.transport.abort()
            return
        body = bytearray(_HEAD.size)
        _encoder.encode_into(message, body, _HEAD.size)
        _HEAD.pack_into(body, 0, len(body) - _HEAD.size)
        self._writer.write(body)

    async def receive_from_front(self) -> ToWorker:
        """Raises WorkerGoneError."""
        return await self._receive(to_worker)

    async def receive_from_worker(self) -> FromWorker:
        """Raises WorkerGoneError."""
        return await self._receive(from_worker)

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _receive(self, decoder: msgspec.msgpack.Decoder[M]) -> M:
        try:
            (size,) = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
            if size > MAX_MESSAGE_BYTES:
                raise WorkerGoneError(f"a message of {size} bytes")
            return decoder.decode(await self._reader.readexactly(size))
        except (OSError, asyncio.IncompleteReadError) as error:
            # The reader keeps the error, which keeps the frames of its traceback, with their jobs and audio.
            error.__traceback__ = None
            raise WorkerGoneError(type(error).__name__) from None
        except msgspec.DecodeError as error:
            raise WorkerGoneError(str(error)) from None


async def connect(address: Path) -> Connection:
    """A connection to the worker that listens on the Unix socket `address`. Raises OSError."""
    return Connection(*await asyncio.open_unix_connection(address))


def submit_message(
    job: int,
    priority: Priority,
    timeout_s: float,
    work: Work,
    audio_from: int,
    traceparent: str | None = None,
    request_id: str | None = None,
) -> Submit:
    """The message that submits `work`, of which the worker has the first `audio_from` samples."""
    audio = np.ascontiguousarray(work.audio[audio_from:], np.float32).tobytes()
    if isinstance(work, Align):
        described: Recognition | TextAlignment = TextAlignment(work.text, work.language, work.is_live)
    else:
        described = Recognition(
            work.language, work.context, work.words, work.utterance, work.final, work.stream, work.stable
        )
    return Submit(job, priority, timeout_s, described, audio_from, audio, traceparent, request_id)


def work_of(message: Submit, audio: np.ndarray, prefix: str) -> Work:
    """The work that `message` describes, on `audio`. `prefix` makes the keys of several fronts distinct."""
    if isinstance(message.work, TextAlignment):
        return Align(audio, message.work.text, message.work.language, message.work.is_live)
    described = message.work
    return Recognize(
        audio,
        described.language,
        described.context,
        described.words,
        prefix + described.utterance if described.utterance is not None else None,
        described.final,
        prefix + described.stream if described.stream is not None else None,
        described.stable,
    )


def failure_message(call: int, error: StenoError) -> Failure:
    kinds = tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, StenoError))
    retry_after_s = error.retry_after_s if isinstance(error, RetryableError) else 0.0
    return Failure(call, kinds, error.message, error.param, retry_after_s)


def error_of(message: Failure) -> StenoError:
    """The error that `message` describes: of the most special class that this process knows."""
    known = {kind.__name__: kind for kind in _subclasses(StenoError)}
    kind = next((known[name] for name in message.kinds if name in known), StenoError)
    error = kind.__new__(kind)
    StenoError.__init__(error, message.message, param=message.param)
    if isinstance(error, RetryableError):
        error.retry_after_s = message.retry_after_s
    return error


def _subclasses(kind: type[StenoError]) -> list[type[StenoError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _subclasses(child))]
