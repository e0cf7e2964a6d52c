"""Checks `Origin` and `Host`: which web pages may use the server, and under which host names.

A browser lets any page send requests and open WebSockets to any server, and names the page's site in `Origin`. Without
this check, a server without keys would be open to every page that its users visit. A page whose host name resolves to
the server (DNS rebinding) has the server's origin, so `Host` is checked as well.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from steno.errors import ForbiddenHostError, ForbiddenOriginError

LOCAL_DOMAINS = ("localhost", "local", "internal", "lan", "home.arpa", "test")
"""Suffixes of no public name (RFC 6761, 6762, 8375; ICANN reserves `internal`). They include `svc.cluster.local`."""


class AllowedSites:
    """Checks a request's headers.

    Args:
        allowed: origins such as `https://example.org`, or `*`. Empty = pages of this server's own host, at any port.
        host: address or name that the server listens on.
    """

    def __init__(self, allowed: Sequence[str], host: str) -> None:
        self._allowed = {origin.rstrip("/").lower() for origin in allowed}
        names = [_host(origin) for origin in self._allowed]
        self._names = {name for name in (*names, host.lower(), socket.gethostname().lower()) if name}

    def check(self, headers: Mapping[str, str], *, has_key: bool) -> None:
        """Check a request. One without `Origin` comes from no page's script; one with a key needs no check of `Host`.

        Args:
            headers: by lower-case name.

        Raises:
            ForbiddenOriginError: the page belongs to another site.
            ForbiddenHostError: `Host` is a public name that is not configured for this server.
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
        text = (
            f"the origin {origin[:200]!r} is not allowed; the server's ALLOWED_ORIGINS can list it. If it is the "
            f"server's own, a proxy must pass on Host: here it is {headers.get('host', '')[:200]!r}"
        )
        raise ForbiddenOriginError(text)

    def _check_host(self, header: str) -> None:
        name = _host(f"//{header}")
        if not header or name in self._names or (name is not None and _is_local(name)):
            return
        text = f"the host {header[:200]!r} is not allowed; name it in HOST or ALLOWED_ORIGINS, or set API_KEYS"
        raise ForbiddenHostError(text)


def _is_local(name: str) -> bool:
    """Whether public DNS cannot contain this name."""
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
