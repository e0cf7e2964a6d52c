"""uvicorn as `Running`, with two things it lacks: our signals, and a limit on the time a request's head takes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from steno.server.live_socket import GONE_EVENT as GONE
from steno.server.live_socket import UNTAKEN
from steno.server.running import CLOSE_S, announce
from steno.settings import Settings

if sys.platform != "win32":
    import fcntl
    import termios

HEAD_S = 20.0
"""A connection that has not sent a request's head in this time is closed; `KEEP_ALIVE_S` is for the pause before it."""


MAX_FRAME_BYTES = 16 * 2**20
"""Of one WebSocket message: eight minutes of 16 kHz PCM16."""

PING_S, PONG_S = 20.0, 60.0
"""A WebSocket client that does not answer a ping is gone. A minute: while it is held up, its answer is not read."""

WATCH_S = 0.4


class Uvicorn:
    def __init__(self, app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.ssl_certfile,
            ssl_keyfile=settings.ssl_keyfile,
            limit_concurrency=settings.max_connections + 1,  # the one that asks is counted too
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=CLOSE_S,
            ws=PatientWebSocket,
            ws_per_message_deflate=False,
            ws_max_size=MAX_FRAME_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PONG_S,
        )
        self._server = _Server(config, on_start)
        self._listener = listener

    async def run(self) -> None:
        await self._server.serve([self._listener])

    def stop(self) -> None:
        self._server.should_exit = True


class PatientWebSocket(WebSocketsSansIOProtocol):
    """Cuts off a client that, once its session is over, does not take what was sent to it; and knows that a handshake
    which got an answer of its own is over, where uvicorn logs an error."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self._gone = self.scope[GONE] = asyncio.Event()  # type: ignore[literal-required]
            self.scope[UNTAKEN] = lambda: self.loop.time() - self._taken_at  # type: ignore[literal-required]
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._gone is not None:
            self._gone.set()

    def _watch(self) -> None:
        """While a client is held up nothing is read from it, not even its end: only writing shows that it is gone."""
        if self.disconnected or self.close_sent or self.transport.is_closing():
            return
        if not _untaken(self.transport):
            self._taken_at = self.loop.time()
        if self.read_paused and self.handshake_complete:
            self.conn.send_ping(b"")
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.loop.call_later(WATCH_S, self._watch)

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    _gone: asyncio.Event | None = None
    _taken_at = 0.0
    """When the client had last taken all that was sent to it."""

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if self.transport.get_write_buffer_size():
            self.loop.call_later(CLOSE_S, self.transport.abort)


def _untaken(transport: asyncio.Transport) -> int:
    """Bytes that the other side has not acknowledged, as far as the system tells (tcp(7), SIOCOUTQ)."""
    here = transport.get_write_buffer_size()
    if sys.platform == "win32":
        return here
    with contextlib.suppress(OSError):
        number = transport.get_extra_info("socket").fileno()
        here += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(struct.calcsize("i"))))[0]
    return here


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request's head does not come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self._forget_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are ours: they drain first."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(self._on_start)
