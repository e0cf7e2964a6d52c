"""Answering a request without serving it, and whom the answer is for."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Receive, Scope, Send

from steno.errors import StenoError
from steno.server.http import error_response

DRAIN_BYTES = 4 * 2**20
DRAIN_S = 2.0


async def refuse(error: StenoError, scope: Scope, receive: Receive, send: Send, *, body_is_read: bool = False) -> None:
    """Send `error`'s answer.

    A small body is read first: where a server closes the connection on an unread body, the client sees a reset in
    place of the answer.

    Args:
        body_is_read: all of the body was received already.
    """
    if not body_is_read:
        await _drain(receive)
    await error_response.response_of(error, error_response.request_id_of(scope))(scope, receive, send)


def address_of(scope: Scope) -> str:
    """The client's address; empty where the server does not know it."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _drain(receive: Receive) -> None:
    """Read the body, for a while."""
    read = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while read < DRAIN_BYTES:
                message = await receive()
                read += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
