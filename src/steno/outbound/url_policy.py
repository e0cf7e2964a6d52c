"""Which URLs the server may contact for a client."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from steno.errors import UrlRefusedError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv6 addresses that a gateway translates to the IPv4 address in their last 32 bits (RFC 6052)."""

WEB = ("https", "http")


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """What `URL_SCHEMES` and `URL_ALLOWLIST` allow.

    Args:
        schemes: allowed URL schemes.
        hosts: patterns of host names, or of buckets of object stores, like `*.example.org`.
        networks: addresses that are allowed although they are not public.
    """

    schemes: Sequence[str] = ("https",)
    hosts: Sequence[str] = ()
    networks: Sequence[Network] = ()

    def check(self, url: str) -> SplitResult:
        """Check what can be checked without resolving the host.

        Raises:
            UrlRefusedError: the URL is malformed, or its scheme or bucket is not allowed.
        """
        try:
            parts = urlsplit(url.strip())
            parts.port  # noqa: B018 - raises ValueError if it is no number
        except ValueError:
            raise UrlRefusedError("the URL is malformed") from None
        if parts.scheme not in self.schemes:
            allowed = ", ".join(self.schemes)
            raise UrlRefusedError(f"URLs of the scheme {parts.scheme[:20]!r} are not allowed here; expected {allowed}")
        if not parts.hostname:
            raise UrlRefusedError("the URL has no host")
        if parts.username is not None:
            raise UrlRefusedError("the URL has a user name; use a signed URL instead")
        if parts.scheme not in WEB and not self.allows_host(parts.hostname):
            raise UrlRefusedError(f"the bucket {parts.hostname[:100]!r} is not in this server's URL_ALLOWLIST")
        return parts

    def allows_host(self, host: str) -> bool:
        """Whether the allowlist names the host: then its addresses are not checked."""
        return any(fnmatch.fnmatchcase(host.lower(), pattern.lower()) for pattern in self.hosts)

    def allows_address(self, address: Address) -> bool:
        """Whether connections to the address are allowed: it is public, or in an allowed network."""
        if any(address in network for network in self.networks):
            return True
        meant = _translated(address)
        if meant != address:
            return self.allows_address(meant)
        return address.is_global and not address.is_multicast


def policy_of(schemes: Sequence[str], allowlist: Sequence[str]) -> UrlPolicy:
    """From the settings: an entry of the allowlist is a network (`10.1.0.0/16`), an address, or a host pattern."""
    networks: list[Network] = []
    hosts: list[str] = []
    for entry in allowlist:
        try:
            networks.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            hosts.append(entry)
    return UrlPolicy(tuple(schemes), tuple(hosts), tuple(networks))


def _translated(address: Address) -> Address:
    """The IPv4 address that packets to an IPv6 address may end at; else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    embedded = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
    if embedded is None and address in NAT64:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return embedded or address
