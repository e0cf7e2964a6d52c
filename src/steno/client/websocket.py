"""A connection to a live server, and what it means when there is none."""

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


class BrokenOffError(Exception):
    """The connection ended before the stream did. Inside of the client only."""


class UnreachedError(ServerError):
    """No connection came about."""


class ClientSocket:
    """An open connection: JSON and audio, in turns."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, frame: bytes | Mapping[str, Any]) -> None:
        """Waits where the server does not take it. Raises BrokenOffError."""
        try:
            await self._socket.send(frame if isinstance(frame, bytes) else json.dumps(frame))
        except ConnectionClosed as error:
            raise BrokenOffError(str(error)) from None

    async def receive(self) -> Mapping[str, Any]:
        """Raises BrokenOffError; ServerError: this is no JSON object."""
        try:
            message = json.loads(await self._socket.recv())
        except ConnectionClosed as error:
            raise BrokenOffError(str(error)) from None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise ServerError("the server's messages are not those of a live stream of steno")
        return message


@asynccontextmanager
async def line_to(server: ServerUrl, query: str) -> AsyncIterator[ClientSocket]:
    """Connect to the server's native dialect.

    Raises:
        UnreachedError: nothing answers, or not now.
        AuthenticationError, OverloadedError, ServerError: it refuses.
    """
    try:
        socket = await connect(**_arguments(server, query))
    except InvalidStatus as error:
        raise _refusal(error.response, _shown(server)) from None
    except InvalidProxy as error:
        raise SettingsError(f"the environment's proxy (HTTP_PROXY, …) cannot be used: {error}") from None
    except InvalidHandshake as error:
        raise UnreachedError(f"{_shown(server)} does not answer as a server of live streams: {error}") from None
    except OSError as error:
        raise UnreachedError(not_reached(_shown(server), error).message) from None
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
            raise SettingsError(f"the environment's certificate (SSL_CERT_FILE, …) cannot be used: {error}") from None
    return arguments


def _refusal(response: Response, server: str) -> StenoError:
    """What an HTTP answer in place of a connection means: steno says it in JSON, a proxy in its status alone."""
    status, headers = response.status_code, response.headers
    with contextlib.suppress(ValueError):
        said = json.loads(response.body or b"")
        if isinstance(said, dict) and said.get("status") == "error":
            return error_of(said)
    text = f"{server} answers the handshake of a live stream with {status}"
    if status in (401, 403):
        return AuthenticationError(text)
    if status in (429, 503):
        return OverloadedError(text, retry_after_s=seconds_of(headers.get("Retry-After"), RETRY_AFTER_S))
    if status in (502, 504):
        return UnreachedError(text, status)
    return ServerError(f"{text}: is this the URL of a steno server?", status)


def _shown(server: ServerUrl) -> str:
    return f"{server.base.scheme}://{server.base.netloc.decode()}/"
