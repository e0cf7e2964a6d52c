"""uvicorn as an `AsgiServer`. Each of its parsers runs unchanged behind a `GuardedConnection`, which adds limits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from steno.server.run.asgi_server import CLOSE_S, announce
from steno.server.run.connection_pool import ConnectionPool
from steno.server.run.guarded_connection import GuardedConnection, with_connection
from steno.settings import Settings

MAX_MESSAGE_BYTES = 16 * 2**20
"""Max size of a WebSocket message: eight minutes of 16 kHz PCM16."""

PING_S, PONG_S = 20.0, 60.0
"""Interval of WebSocket pings, and time limit of a pong. It is long, because a back-pressured client is not read."""

_REFUSED = "ASGI callable returned without completing handshake."
_BAD_TEXT = "Invalid UTF-8 sequence received from client."


class UvicornServer:
    def __init__(self, app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> None:
        pool = ConnectionPool(settings.max_connections)

        def connection(**arguments: Any) -> GuardedConnection:
            return GuardedConnection(HttpToolsProtocol(**arguments), pool)

        config = uvicorn.Config(
            with_connection(app),
            http=cast("type[asyncio.Protocol]", connection),
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=settings.ssl_certfile,
            ssl_keyfile=settings.ssl_keyfile,
            timeout_keep_alive=settings.keep_alive_s,
            timeout_graceful_shutdown=CLOSE_S,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_max_size=MAX_MESSAGE_BYTES,
            ws_ping_interval=PING_S,
            ws_ping_timeout=PONG_S,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_the_servers_fault)
        self._server = _Server(config, on_start)
        self._listener = listener

    async def run(self) -> None:
        await self._server.serve([self._listener])

    def stop(self) -> None:
        self._server.should_exit = True


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to `serve`, which drains first."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(self._on_start)


def _is_the_servers_fault(record: logging.LogRecord) -> bool:
    """A filter for uvicorn's log: a handshake refused over HTTP is no error, and invalid text needs no traceback."""
    if record.msg == _BAD_TEXT:
        record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
    return record.msg != _REFUSED
