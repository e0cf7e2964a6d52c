"""Which web pages may use the server, and under which names.

A browser lets any page send requests and open WebSockets to any server, and says in `Origin` whose page it is. A server
without keys trusts its neighbours, so it would be open to every page that they visit. And a page whose own name is made
to point here (DNS rebinding) has the server's origin, so the name in `Host` is checked as well.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from steno.errors import ForbiddenHostError, ForbiddenOriginError

LOCAL_DOMAINS = ("localhost", "local", "internal", "lan", "home.arpa", "test")
"""No public name ends so (RFC 6761, 6762, 8375; ICANN reserves `internal`); `svc.cluster.local` is among them."""


class AllowedSites:
    """Checks a request's headers.

    Args:
        allowed: origins such as `https://example.org`, or `*`. Empty: pages from this server's own host, at any port.
        host: the address or name that the server listens on.
    """

    def __init__(self, allowed: Sequence[str], host: str) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}
        names = [_host(origin) for origin in self._allowed]
        self._names = {name for name in (*names, host.lower(), socket.gethostname().lower()) if name}

    def check(self, headers: Mapping[str, str], *, has_key: bool) -> None:
        """What has no origin is no page's script. A page that knows a key was given it, and no name can take one away.

        Args:
            headers: by lower-case name.

        Raises:
            ForbiddenOriginError: the page is of another site.
            ForbiddenHostError: the server is called by a name that a stranger could have given it.
        """
        self._check_origin(headers, has_key=has_key)
        if not has_key and "*" not in self._allowed:
            self._check_host(headers.get("host", ""))

    def _check_origin(self, headers: Mapping[str, str], *, has_key: bool) -> None:
        origin = headers.get("origin")
        if origin is None and headers.get("sec-fetch-site") == "cross-site" and not has_key:
            origin = "another site"
        if origin is None or "*" in self._allowed or origin.lower() in self._allowed:
            return
        if not self._allowed and (has_key or _host(origin) == _host(f"//{headers.get('host', '')}")):
            return
        text = f"pages of {origin[:200]!r} may not connect; the server's ALLOWED_ORIGINS can name their origin"
        raise ForbiddenOriginError(text)

    def _check_host(self, header: str) -> None:
        name = _host(f"//{header}")
        if not header or name in self._names or (name is not None and _is_local(name)):
            return
        text = f"this server is not known as {header[:200]!r}: HOST or ALLOWED_ORIGINS can name it, or set API_KEYS"
        raise ForbiddenHostError(text)


def _is_local(name: str) -> bool:
    """Whether public DNS cannot hold this name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        bare = name.rstrip(".")
        return "." not in bare or any(bare.endswith(f".{domain}") for domain in LOCAL_DOMAINS)
    return True


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
