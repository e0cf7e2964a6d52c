"""What clients are told that ask a live address in plain HTTP, or open a WebSocket where there is none.

Most of them stand behind a proxy that does not pass on the upgrade, or a path that was not rewritten.
"""

from __future__ import annotations

import uuid

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from steno.errors import UnknownAddressError
from steno.server.http.error_response import response_of
from steno.server.live.routes import LANGUAGES

ADDRESSES = ", ".join(path for path, _ in LANGUAGES)

router = APIRouter()


async def upgrade_required(request: Request) -> JSONResponse:
    """RFC 9110, 15.5.22."""
    text = (
        f"{request.url.path} speaks WebSocket, and this request does not ask for the upgrade: connect with ws:// or "
        "wss://. A proxy in front must pass on the headers Upgrade and Connection, over HTTP/1.1"
    )
    raise HTTPException(426, text, headers={"Upgrade": "websocket", "Connection": "Upgrade"})


async def unknown_address(socket: WebSocket) -> None:
    """Any other path. Where the server cannot send an HTTP answer, the socket is closed, which is answered with 403."""
    text = f"there is no WebSocket at {socket.url.path[:200]!r}; there are: {ADDRESSES}"
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(response_of(UnknownAddressError(text), uuid.uuid4().hex))
    else:
        await socket.close(reason=text[:100])


for _path, _language in LANGUAGES:
    router.add_api_route(_path, upgrade_required, methods=["GET"], include_in_schema=False)
router.add_api_websocket_route("/{path:path}", unknown_address, name="unknown")
