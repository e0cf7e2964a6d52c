"""Messages between the parent and a child: a JSON header followed by samples.

    header size u32 │ payload size u32 │ header │ payload        sizes big-endian, payload 16-bit PCM

Both sizes are checked before anything is read or allocated: a desynchronised stream, or output printed into it, is an
error at once and not a read of 4 GB.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import asyncio

Header: TypeAlias = dict[str, Any]

MAX_HEADER_BYTES = 1 << 20
MAX_PAYLOAD_BYTES = 4 << 20
"""Two minutes of audio: twice the maximum of a call."""

_SIZES = struct.Struct(">II")


class ChildProtocolError(Exception):
    """The other side sent an invalid message."""


class Message(NamedTuple):
    header: Header
    payload: bytes = b""


def pack(message: Message) -> bytes:
    """The bytes of `message`. Raises ChildProtocolError if it exceeds the maximum sizes."""
    header = json.dumps(message.header, ensure_ascii=True, separators=(",", ":")).encode()
    _check(len(header), len(message.payload))
    return b"".join((_SIZES.pack(len(header), len(message.payload)), header, message.payload))


def read(stream: BinaryIO) -> Message | None:
    """Read the next message; blocks. None = the other side has closed the connection."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    header_size, payload_size = _unpack(sizes)
    body = stream.read(header_size + payload_size)
    if len(body) < header_size + payload_size:
        return None
    return Message(_parse(body[:header_size]), body[header_size:])


async def receive(stream: asyncio.StreamReader) -> Message:
    """Read the next message. Raises asyncio.IncompleteReadError if the other side has closed the connection."""
    header_size, payload_size = _unpack(await stream.readexactly(_SIZES.size))
    body = await stream.readexactly(header_size + payload_size)
    return Message(_parse(body[:header_size]), body[header_size:])


def _unpack(sizes: bytes) -> tuple[int, int]:
    header_size, payload_size = _SIZES.unpack(sizes)
    _check(header_size, payload_size)
    return header_size, payload_size


def _check(header_size: int, payload_size: int) -> None:
    if header_size > MAX_HEADER_BYTES or payload_size > MAX_PAYLOAD_BYTES:
        raise ChildProtocolError(
            f"a message of {header_size} + {payload_size} bytes exceeds {MAX_HEADER_BYTES} + {MAX_PAYLOAD_BYTES}"
        )


def _parse(header: bytes) -> Header:
    try:
        parsed = json.loads(header)
    except ValueError as error:
        raise ChildProtocolError(f"not JSON: {header[:80]!r}") from error
    if not isinstance(parsed, dict):
        raise ChildProtocolError(f"not an object: {header[:80]!r}")
    return parsed
