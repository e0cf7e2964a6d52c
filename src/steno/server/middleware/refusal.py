"""Responds to a refused request."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Receive, Scope, Send

from steno.errors import StenoError
from steno.server.http import error_response

DRAIN_BYTES = 4 * 2**20
DRAIN_S = 2.0


async def refuse(error: StenoError, scope: Scope, receive: Receive, send: Send, *, body_is_read: bool = False) -> None:
    """Send the error response.

    A small body is read first: if a server closes the connection with an unread body, the client gets a reset in place
    of the response.

    Args:
        body_is_read: the whole body has been received.
    """
    if not body_is_read:
        await _drain(receive)
    await error_response.response_of(error, error_response.request_id_of(scope))(scope, receive, send)


def address_of(scope: Scope) -> str:
    """The client's address; empty if unknown."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _drain(receive: Receive) -> None:
    """Read and discard the body, up to `DRAIN_BYTES` and `DRAIN_S`."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while read < DRAIN_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
