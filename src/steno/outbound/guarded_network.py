"""An `httpcore` network backend that resolves each host itself, and connects only to addresses that were checked."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable

import httpcore
from httpcore import AnyIOBackend, AsyncNetworkBackend, AsyncNetworkStream

from steno.errors import UrlRefusedError
from steno.outbound.url_policy import UrlPolicy

CONNECT_S = 10.0


def guarded_pool(policy: UrlPolicy, max_connections: int) -> httpcore.AsyncConnectionPool:
    """A connection pool for addresses that `policy` allows. Close it."""
    return httpcore.AsyncConnectionPool(
        ssl_context=ssl.create_default_context(),
        max_connections=max_connections,
        max_keepalive_connections=0,
        network_backend=GuardedNetwork(policy),
    )


class GuardedNetwork(AsyncNetworkBackend):
    """Refuses hosts that resolve to an address which `policy` does not allow.

    A host that has an allowed address beside another one is refused as well.
    """

    def __init__(self, policy: UrlPolicy) -> None:
        self._policy = policy
        self._network = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """
        Raises:
            UrlRefusedError: an address of the host is not allowed.
            httpcore.ConnectError, httpcore.ConnectTimeout: it does not resolve or answer.
        """
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in await self._resolve(host, port):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        raise UrlRefusedError("Unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The host's addresses, all of them checked."""
        try:
            async with asyncio.timeout(CONNECT_S):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError(f"{host} does not resolve") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not self._policy.allows_host(host):
            for address in addresses:
                if not self._policy.allows_address(ipaddress.ip_address(address.partition("%")[0])):
                    raise UrlRefusedError(f"{host[:100]!r} is not a public address, and not in URL_ALLOWLIST")
        return addresses
