"""Fetches a recording from a URL into a file."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, unquote, urljoin, urlsplit

import httpcore

from steno.errors import UrlFetchError
from steno.outbound import object_store
from steno.outbound.guarded_network import CONNECT_S, guarded_pool
from steno.outbound.url_policy import WEB, UrlPolicy

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
MAX_CONNECTIONS = 32
RESERVED = "%:/?#[]@!$&'()*+,;="
"""Characters of a URL that are not percent-encoded (RFC 3986); others are, as browsers do it."""
HEADERS = ((b"User-Agent", b"steno"), (b"Accept", b"*/*"), (b"Accept-Encoding", b"identity"))


@dataclass(frozen=True, slots=True)
class FetchLimits:
    max_bytes: int
    max_s: float = 300.0
    idle_s: float = 20.0
    """A server that sends nothing for this long is given up."""


class UrlFetcher:
    """Fetches recordings from web servers and object stores. Close it."""

    def __init__(self, policy: UrlPolicy, limits: FetchLimits) -> None:
        self._policy = policy
        self._limits = limits
        self._pool = guarded_pool(policy, MAX_CONNECTIONS)
        idle_s = limits.idle_s
        self._timeouts = {"connect": CONNECT_S, "read": idle_s, "write": idle_s, "pool": idle_s}

    async def aclose(self) -> None:
        await self._pool.aclose()

    def check(self, url: str) -> None:
        """Raises UrlRefusedError: the URL is not allowed, as far as can be told without resolving it."""
        self._policy.check(url)

    async def fetch(self, url: str, into: BinaryIO, max_s: float | None = None) -> str | None:
        """Write the recording at `url` into `into`. Returns its file name, if the URL has one.

        Raises:
            UrlRefusedError: the URL, or one that it redirects to, is not allowed.
            UrlFetchError: it could not be fetched, or not in time.
            AudioTooLargeError: it is larger than allowed.
        """
        max_s = self._limits.max_s if max_s is None else min(max_s, self._limits.max_s)
        try:
            async with asyncio.timeout(max_s):
                if self._policy.check(url).scheme in WEB:
                    url = await self._download(url, into)
                else:
                    await object_store.copy(url, into, self._limits.max_bytes)
        except TimeoutError:
            raise UrlFetchError(f"the recording was not fetched within {max_s:g} s") from None
        except httpcore.TimeoutException:
            raise UrlFetchError(f"the URL's server did not respond within {self._limits.idle_s:g} s") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, ssl.SSLError) as error:
            raise UrlFetchError(f"the URL could not be fetched: {str(error)[:200] or type(error).__name__}") from None
        return PurePosixPath(unquote(urlsplit(url).path)).name or None

    async def _download(self, url: str, into: BinaryIO) -> str:
        """Returns the URL that redirects ended at."""
        for _ in range(MAX_REDIRECTS + 1):
            self._policy.check(url)
            async with self._get(url) as response:
                if response.status not in REDIRECTS:
                    await self._save(response, into)
                    return url
                url = urljoin(url, _header(response, b"location") or "")
        raise UrlFetchError(f"the URL redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[httpcore.Response]:
        encoded = quote(url.strip(), safe=RESERVED)
        limits = {"timeout": self._timeouts}
        async with self._pool.stream("GET", encoded, headers=HEADERS, extensions=limits) as response:
            yield response

    async def _save(self, response: httpcore.Response, into: BinaryIO) -> None:
        if response.status != 200:
            raise UrlFetchError(f"the URL's server responded with status {response.status}; expected 200")
        length = _header(response, b"content-length") or ""
        self._check_size(int(length) if length.isdigit() else 0)
        size = 0
        async for chunk in response.aiter_stream():
            size += len(chunk)
            self._check_size(size)
            await asyncio.to_thread(into.write, chunk)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise object_store.too_large(self._limits.max_bytes)


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)
