"""Authentication: `Authorization: Bearer KEY`, or Deepgram's `Token KEY`, with one of `API_KEYS`.

Without keys the server is open.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from steno.errors import AuthenticationError, ForbiddenHostError, ForbiddenOriginError
from steno.server.middleware.allowed_sites import AllowedSites
from steno.server.middleware.path_prefix import local_path
from steno.server.middleware.refusal import refuse

PROTECTED = ("/v1/", "/api/", "/ws/", "/asr", "/detect-language")
"""Path prefixes that need a key. `/health`, `/ready`, `/metrics` and the docs are open: they contain no transcripts."""

SCHEMES = ("bearer", "token")
KEY_INDEX = "steno.key_index"


class Keys:
    """Compares in constant time, always with every key."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def accepts(self, given: str) -> bool:
        return self.find(given) is not None

    def find(self, given: str) -> int | None:
        """The key's index; None if it is not among the keys."""
        offered = given.encode("utf-8", "surrogateescape")
        same = [hmac.compare_digest(offered, key) for key in self._keys]  # compares all keys, without early exit
        return same.index(True) if any(same) else None

    def check(self, given: str | None) -> int | None:
        """The key's index; None if no keys are configured.

        Raises:
            AuthenticationError: keys are configured, and `given` is not among them.
        """
        if not self._keys:
            return None
        if not given:
            raise AuthenticationError("an API key is required: send 'Authorization: Bearer YOUR_KEY'")
        found = self.find(given)
        if found is None:
            raise AuthenticationError("the API key is invalid")
        return found


class Auth:
    """Refuses HTTP requests to protected routes without a valid key or, if no keys are configured, from pages of other
    sites. WebSocket dialects do their own check.
    """

    def __init__(self, app: ASGIApp, keys: Keys, sites: AllowedSites) -> None:
        self._app = app
        self._keys = keys
        self._sites = sites

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and local_path(scope).startswith(PROTECTED):
            try:
                scope[KEY_INDEX] = self._keys.check(bearer_of(scope))
                if not self._keys:
                    self._sites.check(Headers(scope=scope), has_key=False)
            except (AuthenticationError, ForbiddenOriginError, ForbiddenHostError) as error:
                return await refuse(error, scope, receive, send)
        return await self._app(scope, receive, send)


def key_index_of(scope: Scope) -> int | None:
    """Index of an HTTP request's key, after `Auth` has checked it; None if no keys are configured."""
    index = scope.get(KEY_INDEX)
    assert index is None or isinstance(index, int)
    return index


def bearer_of(scope: Scope) -> str | None:
    """The key in the `Authorization` header; the scheme's case does not matter."""
    for name, value in scope["headers"]:
        if name == b"authorization" and (key := bearer(value.decode("latin-1"), SCHEMES)):
            return key
    return None


def bearer(authorization: str, schemes: Sequence[str] = ("bearer",)) -> str | None:
    """The key in the value of an `Authorization` header."""
    scheme, _, key = authorization.strip().partition(" ")
    return (key.strip() or None) if scheme.lower() in schemes else None
