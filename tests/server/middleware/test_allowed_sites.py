from __future__ import annotations

import socket

import pytest

from steno.errors import ForbiddenHostError, ForbiddenOriginError
from steno.server.middleware.allowed_sites import AllowedSites

OPEN = AllowedSites((), "127.0.0.1")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000", "localhost", "localhost:8000", "LOCALHOST.", "[::1]:8000", "192.168.1.7", "203.0.113.5:80",
        "steno", "steno:8000", "steno.local", "steno.default.svc.cluster.local", "a.localhost", "",
        socket.gethostname(),
    ],
)  # fmt: skip
def test_addresses_and_names_that_no_stranger_can_register_are_the_servers(host: str) -> None:
    OPEN.check({"host": host}, has_key=False)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000", "evillocal.org"]
)
def test_a_name_that_points_here_and_is_not_known_is_refused(host: str) -> None:
    with pytest.raises(ForbiddenHostError):
        OPEN.check({"host": host, "origin": f"http://{host}"}, has_key=False)


def test_the_names_in_the_settings_are_known() -> None:
    AllowedSites((), "captions.example").check({"host": "captions.example:8000"}, has_key=False)
    allowed = AllowedSites(("https://captions.example",), "0.0.0.0")
    allowed.check({"host": "captions.example", "origin": "https://captions.example"}, has_key=False)
    AllowedSites(("*",), "0.0.0.0").check({"host": "any.example", "origin": "https://other.example"}, has_key=False)


def test_with_a_key_any_name_will_do() -> None:
    OPEN.check({"host": "captions.example", "origin": "https://other.example"}, has_key=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[broken"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ForbiddenOriginError):
        OPEN.check({"host": "localhost:8000", **headers}, has_key=False)


@pytest.mark.parametrize("headers", [{"origin": "http://localhost:3000"}, {"sec-fetch-site": "same-origin"}, {}])
def test_the_servers_own_pages_and_what_is_no_page_are_let_in(headers: dict[str, str]) -> None:
    OPEN.check({"host": "localhost:8000", **headers}, has_key=False)
