"""What travels between this process and a decoder process, over a socket: a kind, a size and a payload.

    kind u8 │ payload size u32 │ payload        sizes big-endian

    parent                          decoder process
                     ◀── READY ───  imports are done, limits are set
    JOB  ──────────────────────▶    what to decode, and how (JSON)
                     ◀── READ ────  wants bytes of the source: offset u64, size u32
    DATA ──────────────────────▶    up to that many; empty = the end of the source
    FLUSH ─────────────────────▶    in place of DATA: emit what the resampler holds back, then ask again
                     ◀── INFO ────  what the header says (JSON)
                     ◀── AUDIO ───  float32 samples, mono at `SAMPLE_RATE`
                     ◀── LOG ─────  a line for the log (JSON)
                     ◀── WARNING ─  what of the file is damaged, for its sender (JSON)
                     ◀── DONE ────  the end of the job (JSON): ready for another

The decoder process never opens a file. Its parent reads the source, so that a source can be anything that Python can
read, and what reading raises stays in the parent.
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
"""A second of audio has 64,000; a header of a damaged file may be quoted in an error."""

READ = struct.Struct(">QI")
"""Offset from the source's beginning (0 where it cannot seek) and size, in bytes."""

_HEAD = struct.Struct(">BI")


class MessageKind(IntEnum):
    """What a message is."""

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
    """The other side sent something else than a message."""


@dataclass(frozen=True, slots=True)
class DecodeJob:
    """One file or one live stream."""

    size: int | None
    """Of the source, in bytes; None = it cannot seek."""
    max_seconds: float | None = None
    chunk_s: float = 1.0
    track: str | None = None
    """As in `open_media`."""
    live: AcceptedFormats | None = None
    """None = a file: its gaps are filled, its header is believed. Else a live stream, and what it may be."""

    def pack(self) -> bytes:
        return pack_json(asdict(self))

    @classmethod
    def unpack(cls, payload: bytes | bytearray) -> DecodeJob:
        header = unpack_json(payload)
        live = header.pop("live")
        return cls(**header, live=None if live is None else AcceptedFormats(**live))


def send(connection: socket.socket, kind: MessageKind, payload: bytes = b"") -> None:
    """Send one message; blocks as long as the socket's time-out lets it. Raises OSError."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise SandboxProtocolError(f"a payload of {len(payload)} bytes; {MAX_PAYLOAD_BYTES} at most")
    connection.sendall(_HEAD.pack(kind, len(payload)) + payload)


def unpack_head(head: bytes | bytearray) -> tuple[MessageKind, int]:
    """Kind and payload size. Raises ProtocolError."""
    number, size = _HEAD.unpack(head)
    if size > MAX_PAYLOAD_BYTES:
        raise SandboxProtocolError(f"a payload of {size} bytes; {MAX_PAYLOAD_BYTES} at most")
    try:
        return MessageKind(number), size
    except ValueError:
        raise SandboxProtocolError(f"no message has the kind {number}") from None


HEAD_BYTES = _HEAD.size


def pack_json(header: Header) -> bytes:
    return json.dumps(header).encode()


def unpack_json(payload: bytes | bytearray) -> Header:
    """Raises ProtocolError."""
    try:
        parsed = json.loads(payload)
    except ValueError as error:
        raise SandboxProtocolError(f"not JSON: {bytes(payload[:80])!r}") from error
    if not isinstance(parsed, dict):
        raise SandboxProtocolError(f"not an object: {bytes(payload[:80])!r}")
    return parsed
