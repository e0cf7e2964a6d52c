"""A live client, made of the plain `websockets` package: it talks as told and keeps what it was told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import numpy as np
import websockets
from numpy.typing import NDArray

from running import RunningServer
from steno.audio.decode import decode
from steno.audio.pcm import to_s16le

PATIENCE_S = 60.0
BYTES_PER_S = 32_000
"""Of 16 kHz PCM16."""

Message = dict[str, Any]


def pcm_of(audio: NDArray[np.float32]) -> bytes:
    return to_s16le(audio)


def pcm_file(path: Any) -> bytes:
    """A recording as 16 kHz PCM16."""
    return to_s16le(np.concatenate(list(decode(path, max_seconds=None))))


def parts(data: bytes, size: int) -> Iterator[bytes]:
    return (data[n : n + size] for n in range(0, len(data), size))


class Talk:
    """One conversation."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.messages: list[Message] = []

    async def send(self, *frames: bytes | Message) -> None:
        for frame in frames:
            await self.socket.send(frame if isinstance(frame, bytes) else json.dumps(frame))

    async def say(self, pcm: bytes, *, size: int = 3200, pace: float | None = None) -> None:
        """Audio in frames of `size` bytes; `pace` times as fast as it is spoken, or as fast as it goes."""
        for part in parts(pcm, size):
            await self.socket.send(part)
            if pace is not None:
                await asyncio.sleep(len(part) / BYTES_PER_S / pace)

    async def next(self, **wanted: Any) -> Message:
        """The next message that has these values; those before it are kept in `messages` as well."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message: Message = json.loads(await self.socket.recv())
                self.messages.append(message)
                if wanted.items() <= message.items():
                    return message

    async def until_closed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    self.messages.append(json.loads(await self.socket.recv()))
            except websockets.ConnectionClosed:
                return

    async def close(self) -> None:
        """Ask to close, and hear everything."""
        await self.send({"action": "close"})
        await self.until_closed()

    @property
    def finals(self) -> list[Message]:
        return [message for message in self.messages if message.get("is_final")]

    @property
    def partials(self) -> list[Message]:
        return [message for message in self.messages if message.get("is_partial")]

    @property
    def errors(self) -> list[Message]:
        return [message for message in self.messages if message.get("status") == "error"]

    @property
    def text(self) -> str:
        return " ".join(final["text"] for final in self.finals if final["text"])


@asynccontextmanager
async def talk(server: RunningServer, *, headers: Iterable[tuple[str, str]] = (), **query: Any) -> AsyncIterator[Talk]:
    """Connect to the native dialect and read the greeting; without one, the messages that came in its place."""
    url = f"{server.url.replace('http', 'ws')}/ws/transcribe?{urlencode(query)}"
    async with websockets.connect(url, additional_headers=dict(headers), max_size=None) as socket:
        conversation = Talk(socket)
        async with asyncio.timeout(PATIENCE_S):
            conversation.messages.append(json.loads(await socket.recv()))
        yield conversation


async def said(server: RunningServer, data: bytes, *, size: int = 3200, **query: Any) -> Talk:
    """A whole conversation: connect, say it, close."""
    async with talk(server, **query) as conversation:
        speaking = asyncio.create_task(conversation.say(data, size=size))
        listening = asyncio.create_task(conversation.until_closed())
        await speaking
        await conversation.send({"action": "close"})
        await listening
        return conversation
