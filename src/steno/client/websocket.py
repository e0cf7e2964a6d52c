"""The WebSocket connection to a live server, and its errors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus
from websockets.http11 import Response

from steno.client.exceptions import ServerError, error_of, not_reached, seconds_of
from steno.client.http_api import CONNECT_S, ServerUrl
from steno.errors import AuthenticationError, OverloadedError, SettingsError, StenoError

PATH = "/ws/transcribe"
CLOSE_S = 2.0
RETRY_AFTER_S = 5.0


class SocketClosedError(Exception):
    """The connection was lost before the end of the stream. Internal to the client."""


class ConnectFailedError(ServerError):
    """The connection could not be established."""


class ClientSocket:
    """An open connection that carries JSON messages and audio."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: bytes | Mapping[str, Any]) -> None:
        """Send, with back-pressure. Raises SocketClosedError."""
        try:
            await self._socket.send(frame if isinstance(frame, bytes) else json.dumps(frame))
        except ConnectionClosed as error:
            raise SocketClosedError(str(error)) from None

    async def receive(self) -> Mapping[str, Any]:
        """Receive a message. Raises SocketClosedError, or ServerError if it is not a JSON object."""
        try:
            message = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise SocketClosedError(str(error)) from None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ServerError("invalid message; expected one of steno's live protocol")
        return message


@asynccontextmanager
async def open_socket(server: ServerUrl, query: str) -> AsyncIterator[ClientSocket]:
    """Connect to the server's native dialect.

    Raises:
        ConnectFailedError: the server does not respond.
        AuthenticationError, OverloadedError, ServerError: the server refuses.
    """
    try:
        socket = await connect(**_arguments(server, query))
    except InvalidStatus as error:
        raise _refusal(error.response, _origin(server)) from None
    except InvalidProxy as error:
        raise SettingsError(f"invalid proxy (HTTP_PROXY, …) in the environment: {error}") from None
    except InvalidHandshake as error:
        raise ConnectFailedError(f"{_origin(server)} is not a server of live streams: {error}") from None
    except OSError as error:
        raise ConnectFailedError(not_reached(_origin(server), error).message) from None
    async with socket:
        yield ClientSocket(socket)


def _arguments(server: ServerUrl, query: str) -> dict[str, Any]:
    base = server.base
    secure = base.scheme == "https"
    path = base.raw_path.partition(b"?")[0].rstrip(b"/")
    url = base.copy_with(scheme="wss" if secure else "ws", raw_path=path + f"{PATH}?{query}".encode())
    if server.headers:
        url = url.copy_with(username="", password="")
    arguments: dict[str, Any] = {
        "uri": str(url),
        "additional_headers": dict(server.headers),
        "open_timeout": CONNECT_S,
        "close_timeout": CLOSE_S,
        "compression": None,
    }
    if server.is_here:
        arguments["proxy"] = None
    if secure:
        try:
            arguments["ssl"] = httpx.create_ssl_context()
        except (OSError, ValueError) as error:
            raise SettingsError(f"invalid certificate (SSL_CERT_FILE, …) in the environment: {error}") from None
    return arguments


def _refusal(response: Response, server: str) -> StenoError:
    """The error for an HTTP response to the handshake. steno sends JSON; a proxy sends only a status."""
    status, headers = response.status_code, response.headers
    with contextlib.suppress(ValueError):
        body = json.loads(response.body or b"")
        if isinstance(body, dict) and body.get("status") == "error":
            return error_of(body)
    text = f"{server} responds to the handshake of a live stream with {status}"
    if status in (401, 403):
        return AuthenticationError(text)
    if status in (429, 503):
        return OverloadedError(text, retry_after_s=seconds_of(headers.get("Retry-After"), RETRY_AFTER_S))
    if status in (502, 504):
        return ConnectFailedError(text, status)
    return ServerError(f"{text}: is this the URL of a steno server?", status)


def _origin(server: ServerUrl) -> str:
    return f"{server.base.scheme}://{server.base.netloc.decode()}/"
