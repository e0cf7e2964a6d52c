"""Workers on other machines: the address of one, and the check of who connects to it.

A connection starts with the worker's token; `worker_wire` follows. Neither is encrypted: it is for a private network.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import socket
from dataclasses import dataclass, field

from loguru import logger

from steno.engine.worker.worker_wire import Connection

TOKEN_BYTES = 32
TOKEN_S = 5.0
"""A connection that has not sent the token by then is closed."""
MAX_UNAUTHENTICATED = 32
"""Connections that have not sent the token yet; further ones are closed at once."""
BACKLOG = 128
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 10, 5, 3
DEAD_AFTER_MS = 15_000
"""A peer that does not acknowledge data for so long is gone (`TCP_USER_TIMEOUT`, Linux)."""


def new_token() -> bytes:
    return secrets.token_bytes(TOKEN_BYTES)


@dataclass(frozen=True, slots=True)
class WorkerAddress:
    """Where a worker listens."""

    host: str
    port: int
    token: bytes = field(repr=False)

    async def connect(self) -> Connection:
        """Raises OSError."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        _configure(writer)
        writer.write(self.token)
        return Connection(reader, writer)


def listen(host: str) -> socket.socket:
    """A socket that listens on a free port of `host`, an IP address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


class TokenGate:
    """Closes connections that do not start with the token."""

    def __init__(self, token: bytes) -> None:
        self._token = token
        self._unauthenticated = 0

    async def admits(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read the token. A connection without the right one is closed."""
        if self._unauthenticated >= MAX_UNAUTHENTICATED:
            writer.transport.abort()
            return False
        _configure(writer)
        self._unauthenticated += 1
        try:
            async with asyncio.timeout(TOKEN_S):
                given = await reader.readexactly(len(self._token))
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            given = b""
        finally:
            self._unauthenticated -= 1
        if hmac.compare_digest(given, self._token):
            return True
        logger.warning("a connection from {} without the right token was closed", writer.get_extra_info("peername"))
        writer.transport.abort()
        return False


def _configure(writer: asyncio.StreamWriter) -> None:
    """Send small messages at once, and notice a peer whose machine is gone."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", DEAD_AFTER_MS),
    ):
        if (option := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
