"""Who may open a live session: from which web pages, with which key, and how many at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from steno.errors import ForbiddenOriginError, OverloadedError
from steno.server.auth import Keys
from steno.server.dialects.base import Handshake

RETRY_AFTER_S = 30.0


class Origins:
    """Which sites' pages may connect. A browser lets any page open a WebSocket to any server and says whose page it is;
    so a server that is open to its neighbours would be open to every site that they visit.

    Args:
        allowed: origins such as `https://example.org`, or `*`. Empty: pages from this server's own host, at any port.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}

    def check(self, handshake: Handshake, *, has_key: bool) -> None:
        """What brings no origin is no browser. A page that knows a key was given it.

        Raises:
            ForbiddenOriginError
        """
        origin = handshake.headers.get("origin")
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
            return
        if not self._allowed and (has_key or _host(origin) == _host(f"//{handshake.headers.get('host', '')}")):
            return
        raise ForbiddenOriginError(f"pages of {origin[:200]!r} may not connect; the server's ALLOWED_ORIGINS names it")


class LiveEntry:
    """Counts the sessions of each key."""

    def __init__(self, keys: Keys, origins: Origins, max_per_key: int) -> None:
        self._keys = keys
        self._origins = origins
        self._max_per_key = max_per_key
        self._open: Counter[int] = Counter()

    @contextmanager
    def enter(self, handshake: Handshake, key: str | None) -> Iterator[None]:
        """A session's way in and out.

        Raises:
            AuthenticationError: no key, or a wrong one.
            ForbiddenOriginError: the page's origin is not allowed.
            OverloadedError: the key has as many sessions as it may.
        """
        found = self._keys.check(key)
        self._origins.check(handshake, has_key=found is not None)
        if found is None:
            yield
            return
        if self._max_per_key and self._open[found] >= self._max_per_key:
            text = f"this key has {self._open[found]} live sessions open, as many as it may"
            raise OverloadedError(text, retry_after_s=RETRY_AFTER_S)
        self._open[found] += 1
        try:
            yield
        finally:
            self._open[found] -= 1


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
