"""The span of a request or a live session: it continues the client's trace (W3C Trace Context)."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from starlette.types import Scope

from steno import tracing
from steno.server.middleware.path_prefix import local_path

QUIET = ("/health", "/ready", "/metrics")
"""Polled every few seconds by monitoring, so logged at DEBUG, and without a span."""
NO_SPAN: AbstractContextManager[None] = nullcontext()


def request_span(scope: Scope, request_id: str) -> AbstractContextManager[tracing.Span | None]:
    """A span while the context is open; None without a tracer, or for what monitoring polls."""
    if tracing.active() is None or local_path(scope) in QUIET:
        return NO_SPAN
    method = scope.get("method", "GET")
    attributes = {"http.request.method": method, "url.path": local_path(scope), "steno.request_id": request_id}
    parent = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"), None)
    return tracing.recorded(method, attributes, kind="server", parent=parent)


def finish_span(span: tracing.Span, scope: Scope, status: int) -> None:
    """Name the span after its route, which is known by now. `status`: 0 = the client left before it had a response."""
    if (route := getattr(scope.get("route"), "path", None)) is not None:
        span.rename(f"{scope['method']} {route}")
        span.set({"http.route": route})
    span.set({"http.response.status_code": status or 499})
    if status >= 500:
        span.end(str(status))
