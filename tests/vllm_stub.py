"""A real HTTP server that speaks the parts of `vllm serve` that steno uses, well or badly behaved."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import msgspec

AUDIO_TOKEN_ID = 42
KEY = "secret"
GENERATE, TRANSCRIPTIONS = "/inference/v1/generate", "/v1/audio/transcriptions"
Reply: TypeAlias = tuple[int, bytes]
Behaviour: TypeAlias = Callable[[dict[str, Any]], Awaitable[Reply]]
"""Answers a request for tokens."""


def answer_of(tokens: list[int], **choice: Any) -> bytes:
    content = [{"logprob": -0.1, "token_id": token} for token in tokens]
    return json.dumps({"choices": [{"token_ids": tokens, "logprobs": {"content": content}, **choice}]}).encode()


class VllmStub:
    """Answers a request with the number of frames that it was sent, as one token for each window.

    It keeps the windows that it gets, and responds with 500 to a hash that it does not have, as vLLM 0.32 does.
    """

    def __init__(self) -> None:
        self.models = [{"id": "tiny", "root": "tiny", "max_model_len": 65536}]
        self.key: str | None = None
        self.healthy = True
        self.answers_health = True
        self.generates = True
        self.priorities = True
        self.audio_tokens = [AUDIO_TOKEN_ID]
        self.behaviour: Behaviour = self.good
        self.requests: list[dict[str, Any]] = []
        self.forms: list[bytes] = []
        self.windows: dict[str, int] = {}
        self.sent = 0
        """Windows that were sent with their features."""
        self.waiting = 0
        self.disconnected = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """On the port that it had before, if any."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def die(self) -> None:
        """Close the port and all connections, and forget all windows."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self.windows.clear()

    async def good(self, request: dict[str, Any]) -> Reply:
        frames = []
        features = request["features"]
        for hash_, item in zip(features["mm_hashes"]["audio"], features["kwargs_data"]["audio"], strict=True):
            if item is not None:
                self.sent += 1
                data = msgspec.msgpack.decode(base64.b64decode(item))
                dtype, shape, raw = data["input_audio_features"]["data"]
                assert (dtype, len(raw.data)) == ("float32", 4 * shape[0] * shape[1])
                self.windows[hash_] = shape[1]
            elif hash_ not in self.windows:
                return 500, b'{"error": {"message": "expected a cached item"}}'
            frames.append(self.windows[hash_])
        return 200, answer_of(frames, finish_reason="stop")

    async def never(self, request: dict[str, Any]) -> Reply:
        self.waiting += 1
        try:
            await asyncio.sleep(3600)
        finally:
            self.waiting -= 1
        raise AssertionError

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                while True:
                    await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split()[1]
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        reply = asyncio.ensure_future(self._reply(path, headers, body))
        gone = asyncio.ensure_future(reader.read(1))  # a client that waits for its answer sends nothing
        try:
            await asyncio.wait({reply, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not reply.done():
                self.disconnected += 1
                raise ConnectionError
            status, answer = reply.result()
        finally:
            for each in (reply, gone):
                each.cancel()
            await asyncio.gather(reply, gone, return_exceptions=True)
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()

    async def _reply(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        if path == "/health":
            if not self.answers_health:
                await asyncio.sleep(3600)
            return (200 if self.healthy else 503), b""
        if self.key is not None and headers.get("authorization") != f"bearer {self.key}":
            return 401, b'{"error": "Unauthorized"}'
        if path == "/v1/models":
            return 200, json.dumps({"data": self.models}).encode()
        if path == "/tokenize":
            return 200, json.dumps({"tokens": self.audio_tokens}).encode()
        if path == GENERATE and self.generates:
            return await self._generate(json.loads(body))
        if path == TRANSCRIPTIONS:
            if not body.startswith(b"--"):
                return 400, b'{"error": {"message": "file is missing"}}'
            self.forms.append(body)
            return 200, b'{"text": " the whole text "}'
        return (403 if path == GENERATE else 404), b'{"error": {"message": "disabled"}}'

    async def _generate(self, request: dict[str, Any]) -> Reply:
        if request["priority"] and not self.priorities:
            return 400, b'{"error": {"message": "priority scheduling is not enabled"}}'
        if "features" not in request:
            return 200, answer_of([1])
        self.requests.append(request)
        return await self.behaviour(request)


@asynccontextmanager
async def stubs(count: int) -> AsyncIterator[list[VllmStub]]:
    """Servers that run while the context does."""
    servers = [VllmStub() for _ in range(count)]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.die()
