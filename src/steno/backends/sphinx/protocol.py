"""What travels between the parent and a child: a header in JSON and, behind it, samples.

    header size u32 │ payload size u32 │ header │ payload        sizes big-endian, payload 16-bit PCM

Both sizes are checked before anything is read or allocated for them: a child that lost its place in the stream, or
printed into it, is an error at once and not a read of four gigabytes.
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
"""Two minutes of audio: twice what one call takes."""

_SIZES = struct.Struct(">II")


class ChildProtocolError(Exception):
    """The other side sent something else."""


class Message(NamedTuple):
    header: Header
    payload: bytes = b""


def pack(message: Message) -> bytes:
    """The bytes of `message`. Raises ProtocolError where the other side would refuse it for its size."""
    header = json.dumps(message.header, ensure_ascii=True, separators=(",", ":")).encode()
    _check(len(header), len(message.payload))
    return b"".join((_SIZES.pack(len(header), len(message.payload)), header, message.payload))


def read(stream: BinaryIO) -> Message | None:
    """The next message, blocking. None = the other side has gone."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    header_size, payload_size = _unpack(sizes)
    body = stream.read(header_size + payload_size)
    if len(body) < header_size + payload_size:
        return None
    return Message(_parse(body[:header_size]), body[header_size:])


async def receive(stream: asyncio.StreamReader) -> Message:
    """The next message. Raises asyncio.IncompleteReadError where the other side has gone."""
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
            f"a message of {header_size} + {payload_size} bytes, {MAX_HEADER_BYTES} + {MAX_PAYLOAD_BYTES} at most"
        )


def _parse(header: bytes) -> Header:
    try:
        parsed = json.loads(header)
    except ValueError as error:
        raise ChildProtocolError(f"not JSON: {header[:80]!r}") from error
    if not isinstance(parsed, dict):
        raise ChildProtocolError(f"not an object: {header[:80]!r}")
    return parsed
