"""Who may use the server: `Authorization: Bearer KEY` with one of `API_KEYS`; open where there are none."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from steno.errors import AuthenticationError
from steno.server.refusal import refuse

PROTECTED = ("/v1/", "/api/", "/ws/")
"""`/health`, `/ready`, `/metrics` and the docs stay open: they tell nothing of what was said."""


class Keys:
    """Compares in constant time, and always with every key."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def accepts(self, given: str) -> bool:
        offered = given.encode("utf-8", "surrogateescape")
        return any([hmac.compare_digest(offered, key) for key in self._keys])  # noqa: C419 - no early end


class Auth:
    """Refuses HTTP requests to protected routes without a valid key. WebSocket dialects check for themselves."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._keys and scope["path"].startswith(PROTECTED):
            given = bearer_of(scope)
            if given is None:
                error = AuthenticationError("this server wants an API key: send 'Authorization: Bearer YOUR_KEY'")
                return await refuse(error, scope, receive, send)
            if not self._keys.accepts(given):
                return await refuse(AuthenticationError("the API key is not valid here"), scope, receive, send)
        return await self._app(scope, receive, send)


def bearer_of(scope: Scope) -> str | None:
    """The key in the `Authorization` header; the scheme's case does not matter."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() == "bearer" and key.strip():
                return str(key.strip())
    return None
