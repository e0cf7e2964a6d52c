"""A decoder process: `python -m steno.audio.sandbox.child CONNECTION LIMITS`.

It decodes one file or stream after the other and exits when the connection to its parent ends. It ignores Ctrl-C; the
parent handles it. A file that crashes it, or exhausts its memory or CPU time, ends this process and nothing else.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from loguru import logger

from steno.audio.container import open_media
from steno.audio.convert import Converter
from steno.audio.decode import MediaInfo, decode
from steno.audio.sandbox.limits import CpuBudget, DecoderLimits, limit_memory, lower_priority, resident_bytes
from steno.audio.sandbox.wire import (
    HEAD_BYTES,
    READ,
    DecodeJob,
    Header,
    MessageKind,
    SandboxProtocolError,
    pack_json,
    send,
    unpack_head,
)
from steno.errors import AudioError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from loguru import Message

    from steno.types import Audio

BLOCK_BYTES = 1 << 17
"""Read size for a seekable source: FFmpeg itself reads 32 KiB at a time, each a round trip."""

MAX_JOBS = 200
"""Jobs after which the process is not reused."""
MAX_RESIDENT_BYTES = 128 * 2**20
"""Resident memory (normally 45 MiB) above which the process is not reused, because FFmpeg and the allocator keep memory
of damaged files."""

MAX_MESSAGE_CHARS = 1000

TOO_MUCH_MEMORY = "The audio is damaged: reading it exceeds the memory limit."


class ParentGoneError(Exception):
    """The connection to the parent ended."""


class Parent:
    """The connection to the parent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def receive(self) -> tuple[MessageKind, bytes]:
        """The next message. Raises ParentGoneError."""
        kind, size = unpack_head(self._exactly(HEAD_BYTES))
        return kind, self._exactly(size)

    def send(self, kind: MessageKind, payload: bytes = b"") -> None:
        try:
            send(self._connection, kind, payload)
        except OSError:
            raise ParentGoneError from None

    def log(self, message: Message) -> None:
        record = message.record
        text = record["message"][:MAX_MESSAGE_CHARS]
        self.send(MessageKind.LOG, pack_json({"level": record["level"].name, "text": text}))

    def _exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            try:
                part = self._connection.recv(size)
            except OSError:
                part = b""
            if not part:
                raise ParentGoneError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


class SeekableSource:
    """A seekable source, read in blocks through the parent."""

    def __init__(self, parent: Parent, size: int) -> None:
        self._parent = parent
        self._size = size
        self._at = 0
        self._block, self._block_at = b"", 0

    def read(self, size: int, /) -> bytes:
        offset = self._at - self._block_at
        if not 0 <= offset < len(self._block):
            if self._at >= self._size:
                return b""
            self._parent.send(MessageKind.READ, READ.pack(self._at, BLOCK_BYTES))
            _, self._block = self._parent.receive()
            self._block_at, offset = self._at, 0
        data = self._block[offset : offset + size]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


class LiveSource:
    """A source that returns available bytes and cannot seek."""

    def __init__(self, parent: Parent, converter: Converter | None = None) -> None:
        self._parent = parent
        self._converter = converter

    def read(self, size: int, /) -> bytes:
        """Called by FFmpeg after it has returned all frames, so that nothing else uses the converter."""
        while True:
            self._parent.send(MessageKind.READ, READ.pack(0, size))
            kind, data = self._parent.receive()
            if kind is not MessageKind.FLUSH:
                return data
            if self._converter is not None:
                emit(self._parent, self._converter.flush())

    def seek(self, _offset: int, _whence: int = 0, /) -> int:
        raise io.UnsupportedOperation("seek")

    def tell(self) -> int:
        raise io.UnsupportedOperation("tell")

    def seekable(self) -> bool:
        return False


def emit(parent: Parent, audio: Audio) -> None:
    """Send `audio` of any length, 1 s at a time."""
    for start in range(0, len(audio), SAMPLE_RATE):
        parent.send(MessageKind.AUDIO, audio[start : start + SAMPLE_RATE].tobytes())


def decoded_file(parent: Parent, job: DecodeJob) -> Iterator[Audio]:
    source = LiveSource(parent) if job.size is None else SeekableSource(parent, job.size)

    def send_info(info: MediaInfo) -> None:
        parent.send(MessageKind.INFO, pack_json(asdict(info)))

    def send_warning(text: str) -> None:
        parent.send(MessageKind.WARNING, pack_json({"text": text}))

    return decode(
        source,
        max_seconds=job.max_seconds,
        track=job.track,
        chunk_s=job.chunk_s,
        on_open=send_info,
        on_warning=send_warning,
    )


def decoded_stream(parent: Parent, job: DecodeJob) -> Iterator[Audio]:
    """The audio of a live stream, as soon as its bytes arrive. Gaps are not filled."""
    assert job.live is not None
    converter = Converter()
    with open_media(LiveSource(parent, converter), None, job.live) as media:
        for frame in media.frames():
            yield converter.convert(frame)
        yield converter.flush()
        if media.damaged_packets:
            logger.warning("{} packets of a live stream could not be decoded", media.damaged_packets)
        if media.broke_off:
            raise UndecodableAudioError("The stream is damaged: it cannot be read any further.")


def outcome_of(parent: Parent, job: DecodeJob, budget: CpuBudget) -> Header:
    """Run the job; returns the payload of `DONE`. The process's outermost boundary: no file's error passes it."""
    budget.renew()
    try:
        for audio in decoded_file(parent, job) if job.live is None else decoded_stream(parent, job):
            emit(parent, audio)
            budget.renew()
    except AudioError as error:
        return _failed(error, is_worn=False)
    except MemoryError:
        return _failed(UndecodableAudioError(TOO_MUCH_MEMORY), is_worn=True)
    except (ParentGoneError, SandboxProtocolError):
        raise
    except Exception as error:  # noqa: BLE001
        logger.error("decoding failed: {}: {}", type(error).__name__, error)
        return _failed(UndecodableAudioError("The audio cannot be decoded."), is_worn=True)
    return {}


def _failed(error: AudioError, *, is_worn: bool) -> Header:
    message = error.message[:MAX_MESSAGE_CHARS]
    return {"error": type(error).__name__, "message": message, "param": error.param, "is_worn": is_worn}


def main(connection: socket.socket, limits: DecoderLimits) -> None:
    """Serve jobs until the parent ends the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lower_priority(limits.niceness)
    parent = Parent(connection)
    logger.remove()
    logger.add(parent.log, level="WARNING", format="{message}")
    import av  # noqa: F401 - preloaded for the first job
    import soxr  # noqa: F401

    limit_memory(limits.memory_mb)
    budget = CpuBudget(limits.cpu_s)
    parent.send(MessageKind.READY)
    for done in range(1, MAX_JOBS + 1):
        _, payload = parent.receive()
        outcome = outcome_of(parent, DecodeJob.unpack(payload), budget)
        is_worn = bool(outcome.get("is_worn")) or done == MAX_JOBS or resident_bytes() > MAX_RESIDENT_BYTES
        parent.send(MessageKind.DONE, pack_json({**outcome, "is_worn": is_worn}))


def inherited(descriptor: str) -> socket.socket:
    """The connection inherited from the parent: a descriptor, or on Windows a share read from standard input."""
    if sys.platform == "win32":
        return socket.fromshare(sys.stdin.buffer.read())
    return socket.socket(fileno=int(descriptor))


if __name__ == "__main__":
    try:
        main(inherited(sys.argv[1]), DecoderLimits(**json.loads(sys.argv[2])))
    except ParentGoneError:
        os._exit(0)
