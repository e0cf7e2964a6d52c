"""Recordings from URLs, whatever their servers do."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from outbound.web_server import HOST, WebServer
from steno.errors import AudioTooLargeError, StenoError, UrlFetchError, UrlRefusedError
from steno.outbound.fetch import FetchLimits, UrlFetcher
from steno.outbound.url_policy import policy_of

LIMITS = FetchLimits(max_bytes=1_000_000, max_s=2.0, idle_s=0.5)


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer({"a talk.mp3": bytes(range(256)) * 1000}) as web:
        yield web


async def fetch(url: str, limits: FetchLimits = LIMITS, schemes: tuple[str, ...] = ("http", "https", "s3")) -> bytes:
    fetcher = UrlFetcher(policy_of(schemes, [HOST, "talks"]), limits)
    try:
        into = io.BytesIO()
        await fetcher.fetch(url, into)
        return into.getvalue()
    finally:
        await fetcher.aclose()


async def test_a_recording_and_its_name(web: WebServer) -> None:
    fetcher = UrlFetcher(policy_of(["http"], [HOST]), LIMITS)
    into = io.BytesIO()
    assert await fetcher.fetch(web.url + "/files/a%20talk.mp3?token=1", into) == "a talk.mp3"
    assert into.getvalue() == web.files["a talk.mp3"]
    assert await fetcher.fetch(web.url + "/redirect//files/a%20talk.mp3", io.BytesIO()) == "a talk.mp3"
    await fetcher.aclose()


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
    ],
)
async def test_neither_a_url_nor_a_redirect_leads_inside(web: WebServer, target: str) -> None:
    with pytest.raises(UrlRefusedError):
        await fetch(target)
    with pytest.raises(UrlRefusedError):
        await fetch(f"{web.url}/redirect/{target}")


@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("/endless", AudioTooLargeError, "larger than the maximum"),
        ("/longer-than-it-says", None, ""),
        ("/shorter-than-it-says", UrlFetchError, "could not be fetched"),
        ("/says-it-is-huge", AudioTooLargeError, "larger than the maximum"),
        ("/silent", UrlFetchError, r"did not respond within 0\.5 s"),
        ("/trickle", UrlFetchError, "not fetched within 2 s"),
        ("/loop", UrlFetchError, "redirects more than 5 times"),
        ("/status/404", UrlFetchError, "status 404"),
        ("/status/500", UrlFetchError, "status 500"),
        ("/garbage", UrlFetchError, "could not be fetched"),
    ],
)
async def test_every_fault_is_a_typed_error_within_its_limit(
    web: WebServer, path: str, error: type[StenoError] | None, reason: str
) -> None:
    async with asyncio.timeout(10):
        if error is None:
            assert await fetch(web.url + path) == bytes(4)
            return
        with pytest.raises(error, match=reason):
            await fetch(web.url + path)


@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid/a.mp3", f"http://{HOST}:1/a.mp3", f"https://{HOST}:1/a.mp3", "http://a b/"]
)
async def test_hosts_that_cannot_be_reached_are_typed_errors(url: str) -> None:
    with pytest.raises(UrlFetchError):
        await fetch(url)


async def test_cancelling_ends_the_connection(web: WebServer) -> None:
    fetching = asyncio.create_task(fetch(web.url + "/trickle", FetchLimits(10**9, 60.0, 60.0)))
    while "/trickle" not in web.requests:
        await asyncio.sleep(0.01)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[fsspec.AbstractFileSystem]:
    """An object store in memory under `s3://`, through fsspec as the real ones are."""
    fsspec.register_implementation("s3", BucketsInMemory, clobber=True)
    yield BucketsInMemory()
    fsspec.register_implementation("s3", "s3fs.S3FileSystem", clobber=True)


class BucketsInMemory(MemoryFileSystem):
    protocol = "s3"


async def test_an_object_of_an_allowed_bucket_is_read_within_its_limits(store: fsspec.AbstractFileSystem) -> None:
    with store.open("s3://talks/a.mp3", "wb") as file:
        file.write(bytes(300_000))
    assert await fetch("s3://talks/a.mp3") == bytes(300_000)
    with pytest.raises(AudioTooLargeError):
        await fetch("s3://talks/a.mp3", FetchLimits(200_000))
    with pytest.raises(UrlFetchError, match="could not be read"):
        await fetch("s3://talks/missing.mp3")
    with pytest.raises(UrlRefusedError, match="bucket"):
        await fetch("s3://others/a.mp3")
