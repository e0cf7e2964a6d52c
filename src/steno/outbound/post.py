"""Posts a small body to a URL that a client named."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import quote

import httpcore

from steno.errors import UrlFetchError
from steno.outbound.fetch import RESERVED
from steno.outbound.guarded_network import guarded_pool
from steno.outbound.url_policy import WEB, UrlPolicy

MAX_S = 15.0
MAX_CONNECTIONS = 8


class Poster:
    """Posts to web servers; follows no redirects and reads no bodies. Close it."""

    def __init__(self, policy: UrlPolicy, max_s: float = MAX_S) -> None:
        self._policy = policy
        self._max_s = max_s
        self._pool = guarded_pool(policy, MAX_CONNECTIONS)

    async def aclose(self) -> None:
        await self._pool.aclose()

    def check(self, url: str) -> None:
        """Raises UrlRefusedError: posts to the URL are not allowed."""
        UrlPolicy([scheme for scheme in self._policy.schemes if scheme in WEB]).check(url)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post JSON. Returns the response's status.

        Raises:
            UrlRefusedError: posts to the URL are not allowed.
            UrlFetchError: there was no response in time.
        """
        self.check(url)
        sent = [(b"Content-Type", b"application/json"), (b"User-Agent", b"steno")]
        sent += [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            async with (
                asyncio.timeout(self._max_s),
                self._pool.stream("POST", quote(url, safe=RESERVED), headers=sent, content=body) as response,
            ):
                return response.status
        except (TimeoutError, httpcore.TimeoutException):
            raise UrlFetchError(f"no response within {self._max_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as error:
            raise UrlFetchError(f"no response: {str(error)[:200] or type(error).__name__}") from None
