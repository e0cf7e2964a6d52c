"""A middleware that gives each request an id, a log line and metrics, and turns every error into a response."""

from __future__ import annotations

import asyncio
import re
import uuid

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.request_ids import within
from steno.server.http import error_response
from steno.server.metrics import Metrics
from steno.server.middleware.path_prefix import local_path
from steno.server.middleware.request_span import QUIET, finish_span, request_span
from steno.tracing import logged

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
NO_SNIFFING = (b"x-content-type-options", b"nosniff")
"""Header of every response: a response may contain client data, which a browser must not interpret as HTML."""


class RequestContext:
    """Takes the request id from `X-Request-ID` if it is safe, or creates one; adds it to log lines and response."""

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

        with request_span(scope, request_id) as span, within(request_id, **logged(span)):
            try:
                await self._app(scope, receive, send_with_id)
            except Exception as error:  # noqa: BLE001 - the outermost boundary: logged, and sent as a response
                response = error_response.unexpected(error, request_id)
                if not status:
                    await response(scope, receive, send_with_id)
            finally:
                self._record(scope, status, loop.time() - began)
                if span is not None:
                    finish_span(span, scope, status)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        # 499, as in nginx: the client disconnected before it had a response.
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
