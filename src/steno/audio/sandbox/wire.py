"""The protocol between the server and a decoder process, over a socket: a kind, a size and a payload.

    kind u8 │ payload size u32 │ payload        sizes big-endian

    parent                          decoder process
                     ◀── READY ───  imports are done, limits are set
    JOB  ──────────────────────▶    what to decode, and how (JSON)
                     ◀── READ ────  requests bytes of the source: offset u64, size u32
    DATA ──────────────────────▶    at most that many; empty = the end of the source
    FLUSH ─────────────────────▶    instead of DATA: emit what the resampler holds back, then request again
                     ◀── INFO ────  the header's data (JSON)
                     ◀── AUDIO ───  float32 samples, mono at `SAMPLE_RATE`
                     ◀── LOG ─────  a line for the log (JSON)
                     ◀── WARNING ─  what of the file is damaged, for its sender (JSON)
                     ◀── DONE ────  the end of the job (JSON): ready for another

The decoder process never opens a file. Its parent reads the source, so that a source can be any Python file-like
object, and exceptions of reading stay in the parent.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from steno.audio.container import AcceptedFormats

if TYPE_CHECKING:
    import socket

Header: TypeAlias = dict[str, Any]

MAX_PAYLOAD_BYTES = 1 << 20
"""1 s of audio has 64,000 bytes; an error may quote a damaged file's header."""

READ = struct.Struct(">QI")
"""Offset from the source's start (0 if it cannot seek) and size, in bytes."""

_HEAD = struct.Struct(">BI")


class MessageKind(IntEnum):
    """The type of a message."""

    READY = 1
    JOB = 2
    READ = 3
    DATA = 4
    FLUSH = 5
    INFO = 6
    AUDIO = 7
    LOG = 8
    DONE = 9
    WARNING = 10


class SandboxProtocolError(Exception):
    """The other side sent an invalid message."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One file or one live stream."""

    size: int | None
    """Size of the source in bytes; None = it cannot seek."""
    max_seconds: float | None = None
    chunk_s: float = 1.0
    track: str | None = None
    """As in `open_media`."""
    live: AcceptedFormats | None = None
    """The accepted formats of a live stream; None = a file, whose gaps are filled and whose header is used."""

    def pack(self) -> bytes:
        return pack_json(asdict(self))

    @classmethod
    def unpack(cls, payload: bytes | bytearray) -> DecodeJob:
        header = unpack_json(payload)
        live = header.pop("live")
        return cls(**header, live=None if live is None else AcceptedFormats(**live))


def send(connection: socket.socket, kind: MessageKind, payload: bytes = b"") -> None:
    """Send one message; blocks for at most the socket's timeout. Raises OSError."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise SandboxProtocolError(f"a payload of {len(payload)} bytes exceeds {MAX_PAYLOAD_BYTES}")
    connection.sendall(_HEAD.pack(kind, len(payload)) + payload)


def unpack_head(head: bytes | bytearray) -> tuple[MessageKind, int]:
    """Kind and payload size. Raises SandboxProtocolError."""
    number, size = _HEAD.unpack(head)
    if size > MAX_PAYLOAD_BYTES:
        raise SandboxProtocolError(f"a payload of {size} bytes exceeds {MAX_PAYLOAD_BYTES}")
    try:
        return MessageKind(number), size
    except ValueError:
        raise SandboxProtocolError(f"invalid message kind {number}") from None


HEAD_BYTES = _HEAD.size


def pack_json(header: Header) -> bytes:
    return json.dumps(header).encode()


def unpack_json(payload: bytes | bytearray) -> Header:
    """Raises SandboxProtocolError."""
    try:
        parsed = json.loads(payload)
    except ValueError as error:
        raise SandboxProtocolError(f"not JSON: {bytes(payload[:80])!r}") from error
    if not isinstance(parsed, dict):
        raise SandboxProtocolError(f"not an object: {bytes(payload[:80])!r}")
    return parsed
