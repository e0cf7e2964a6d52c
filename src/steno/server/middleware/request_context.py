"""The outermost layer: a request id, a log line and a metric for each request, and no error without an answer."""

from __future__ import annotations

import asyncio
import re
import uuid

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.server.http import error_response
from steno.server.metrics import Metrics
from steno.server.middleware.path_prefix import local_path

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""On every answer: what a client sent may be in it, and a browser must not take it for a page."""
QUIET = ("/health", "/ready", "/metrics")
"""Asked every few seconds by machines; logged at DEBUG."""


class RequestContext:
    """Takes over `X-Request-ID` if it is harmless, else makes one; it is in every log line and in the answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["steno.request_id"] = request_id
        loop = asyncio.get_running_loop()
        began = loop.time()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", request_id.encode()), NO_SNIFFING]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        with logger.contextualize(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:  # noqa: BLE001 - the outermost boundary: logged, and answered
                response = error_response.unexpected(error, request_id)
                if not status:
                    await response(scope, receive, send_with_id)
            finally:
                self._record(scope, status, loop.time() - began)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        # 499 is nginx's: the client went away before it had its answer.
        self._metrics.requests.labels(route, str(status or 499)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        level = "DEBUG" if local_path(scope) in QUIET else "INFO"
        logger.log(level, "{} {} {} in {:.3f} s", scope["method"], local_path(scope), status or 499, seconds)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _ACCEPTABLE_ID.fullmatch(given):
                return str(given)
    return uuid.uuid4().hex
