"""CORS: which pages' scripts may read responses. https://fetch.spec.whatwg.org/#http-cors-protocol"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from steno.errors import ForbiddenHostError, ForbiddenOriginError
from steno.server.middleware.allowed_sites import AllowedSites
from steno.server.middleware.refusal import refuse

EXPOSED = (
    "Cache-Status", "Content-Disposition", "Retry-After", "Server-Timing", "X-Alignment-Method", "X-Match-Ratio",
    "X-Request-ID", "X-Steno-Ignored", "X-Steno-Warnings", "X-Timing-Mode", "X-Timing-Reason", "X-Untranslated",
    "dg-error", "dg-request-id",
)  # fmt: skip
"""Response headers that scripts may read in addition to those that the standard allows."""

MAX_AGE_S = 600


class Cors(CORSMiddleware):
    """Starlette's CORS middleware, for the origins that `AllowedSites` admits, as for WebSockets."""

    def __init__(self, app: ASGIApp, sites: AllowedSites, has_keys: bool) -> None:
        super().__init__(
            app,
            allow_origin_regex=".*",  # `__call__` decides
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=["*"],
            expose_headers=EXPOSED,
            max_age=MAX_AGE_S,
        )
        self._sites = sites
        self._has_keys = has_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else {}
        if "origin" not in headers:
            await self.app(scope, receive, send)
            return
        try:
            self._sites.check(headers, has_key=self._has_keys)
        except (ForbiddenOriginError, ForbiddenHostError) as error:
            if scope["method"] == "OPTIONS":
                await refuse(error, scope, receive, send)
            else:  # unprotected routes respond without CORS headers; `Auth` refuses the others
                await self.app(scope, receive, send)
            return
        await super().__call__(scope, receive, send)
