"""Who may open a live session: from which web pages, with which key, and how many at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from steno.engine.counts import Counts, LocalCounts
from steno.errors import OverloadedError
from steno.server.live.dialects.base import Handshake
from steno.server.middleware.allowed_sites import AllowedSites
from steno.server.middleware.auth import Keys

RETRY_AFTER_S = 30.0


class LiveEntry:
    """Counts the sessions of each key."""

    def __init__(self, keys: Keys, sites: AllowedSites, max_per_key: int, counts: Counts | None = None) -> None:
        self._keys = keys
        self._sites = sites
        self._max_per_key = max_per_key
        self._counts = counts or LocalCounts()

    @contextmanager
    def enter(self, handshake: Handshake, key: str | None) -> Iterator[None]:
        """A session's way in and out.

        Raises:
            AuthenticationError: no key, or a wrong one.
            ForbiddenOriginError, ForbiddenHostError: the page's origin, or the name that it calls, is not allowed.
            OverloadedError: the key has as many sessions as it may.
        """
        found = self._keys.check(key)
        self._sites.check(handshake.headers, has_key=found is not None)
        if found is None:
            yield
            return
        name = f"sessions of key {found}"
        with self._counts.exclusive():
            total = self._counts.total(name)
            if self._max_per_key and total >= self._max_per_key:
                text = f"this key has {total} live sessions open, as many as it may"
                raise OverloadedError(text, retry_after_s=RETRY_AFTER_S)
            self._counts.add(name, +1)
        try:
            yield
        finally:
            self._counts.add(name, -1)
