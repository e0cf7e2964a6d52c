"""Which URLs and addresses a client may send the server to."""

from __future__ import annotations

import ipaddress

import pytest

from steno.errors import UrlRefusedError
from steno.outbound.url_policy import policy_of

INTERNAL = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not policy_of(["https"], []).allows_address(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert policy_of(["https"], []).allows_address(ipaddress.ip_address(address))


def test_the_allowlist_allows_networks_addresses_and_hosts_and_no_others() -> None:
    policy = policy_of(["https"], ["10.1.0.0/16", "fd00::5", "*.example.org", "Media.local"])
    assert policy.allows_address(ipaddress.ip_address("10.1.2.3"))
    assert policy.allows_address(ipaddress.ip_address("fd00::5"))
    assert policy.allows_address(ipaddress.ip_address("::ffff:10.1.2.3"))
    assert not policy.allows_address(ipaddress.ip_address("10.2.0.1"))
    assert not policy.allows_address(ipaddress.ip_address("fd00::6"))
    assert policy.allows_host("a.example.org")
    assert policy.allows_host("media.LOCAL")
    assert not policy.allows_host("example.org")
    assert not policy.allows_host("a.example.org.evil.net")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/a.mp3", "scheme 'http'"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("ftp://example.org/a.mp3", "scheme 'ftp'"),
        ("a.mp3", "scheme ''"),
        ("https:///a.mp3", "no host"),
        ("https://user:secret@example.org/a.mp3", "user name"),
        ("https://example.org:port/a.mp3", "malformed"),
        ("https://[::1/a.mp3", "malformed"),
    ],
)
def test_urls_that_are_refused_unseen(url: str, reason: str) -> None:
    with pytest.raises(UrlRefusedError, match=reason):
        policy_of(["https"], []).check(url)


def test_a_bucket_must_be_in_the_allowlist() -> None:
    policy = policy_of(["https", "s3"], ["talks-*"])
    assert policy.check("s3://talks-2026/a.mp3").hostname == "talks-2026"
    with pytest.raises(UrlRefusedError, match="bucket 'salaries'"):
        policy.check("s3://salaries/a.mp3")
