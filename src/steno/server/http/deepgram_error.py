"""Deepgram's error body, and the headers that its SDKs read: they hide the bodies of refused handshakes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.errors import StenoError
from steno.server.http.error_response import request_id_of, status_of
from steno.server.middleware.path_prefix import local_path

PATHS = ("/v1/listen", "/v2/listen")
REQUEST_ID, ERROR = "dg-request-id", "dg-error"
MAX_HEADER = 500
ERR_CODES = {
    400: "Bad Request",
    401: "INVALID_AUTH",
    403: "INSUFFICIENT_PERMISSIONS",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "PAYLOAD_TOO_LARGE",
    426: "UPGRADE_REQUIRED",
    429: "TOO_MANY_REQUESTS",
    503: "SERVICE_UNAVAILABLE",
    504: "GATEWAY_TIMEOUT",
    507: "INSUFFICIENT_STORAGE",
}


def refusal_of(error: StenoError, request_id: str) -> dict[str, Any]:
    return _refusal(status_of(error), error.message, error.param, request_id)


def headers_of(request_id: str, message: str | None = None) -> dict[str, str]:
    """For every answer; `message`: why a request is refused, in the characters that a header may hold."""
    told = {} if message is None else {ERROR: message.encode("ascii", "replace").decode()[:MAX_HEADER]}
    plain = str.maketrans(dict.fromkeys([*map(chr, range(0x20)), "\x7f"], " "))
    return {REQUEST_ID: request_id, **{name: value.translate(plain) for name, value in told.items()}}


class DeepgramAnswers:
    """Gives every HTTP answer of Deepgram's addresses its headers, and each error its body, the middleware's too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and local_path(scope) in PATHS:
            send = _Translated(scope, send).send
        await self._app(scope, receive, send)


class _Translated:
    """One answer. An error's body is small: it is held back until it is whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400:
                self._start = message
                return
            own = _encoded(headers_of(request_id_of(self._scope)))
            message = {**message, "headers": [*message["headers"], *own]}
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_error(self._start)
            return
        await self._send(message)

    async def _send_error(self, start: Message) -> None:
        request_id = request_id_of(self._scope)
        message, param = _told(self._body)
        body = json.dumps(_refusal(start["status"], message, param, request_id), ensure_ascii=False).encode()
        kept = [(name, value) for name, value in start["headers"] if name not in (b"content-length", b"content-type")]
        own = {**headers_of(request_id, message), "content-type": "application/json", "content-length": str(len(body))}
        await self._send({**start, "headers": [*kept, *_encoded(own)]})
        await self._send({"type": "http.response.body", "body": body})


def _refusal(status: int, message: str, param: str | None, request_id: str) -> dict[str, Any]:
    named = param is None or param in message
    return {
        "err_code": ERR_CODES.get(status, "INTERNAL_SERVER_ERROR"),
        "err_msg": message if named else f"{param}: {message}",
        "request_id": request_id,
    }


def _told(body: bytes) -> tuple[str, str | None]:
    """The message and the parameter in an error body of ours."""
    try:
        error = json.loads(body)["error"]
        return error["message"], error["param"]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace"), None


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
