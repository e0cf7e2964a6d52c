"""The HTTP API for both clients: the server's URL, connections, form fields, responses."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from steno.client.exceptions import ServerError, not_reached
from steno.errors import InvalidRequestError, SettingsError
from steno.languages import code_of
from steno.stage_times import stages_in
from steno.types import Segment, Transcript, Word

CONNECT_S = 10.0
TRANSCRIPTIONS = "/v1/audio/transcriptions"
ALIGNMENTS = "/v1/audio/alignments"
EVERYTHING: Mapping[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]}
"""Form fields that request segments and words."""


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A server's URL and headers. Made by `server_at`."""

    base: httpx.URL
    headers: Mapping[str, str]
    timeout: httpx.Timeout

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine."""
        try:
            return ipaddress.ip_address(self.base.host).is_loopback
        except ValueError:
            return self.base.host == "localhost" or self.base.host.endswith(".localhost")

    def with_fallbacks(self, urls: Iterable[str]) -> tuple[ServerUrl, ...]:
        """This server and those at `urls`, with the same key. Raises SettingsError: a URL is invalid."""
        return (self, *(replace(self, base=_base(url)) for url in urls))

    def client(self) -> httpx.Client:
        """Create an HTTP client. Raises SettingsError if the environment's proxy or certificate is invalid."""
        # A proxy cannot reach this machine's loopback. An explicit transport ignores the environment's proxies and,
        # unlike `trust_env=False`, still uses SSL_CERT_FILE.
        with _environment():
            direct = httpx.HTTPTransport() if self.is_here else None
            return httpx.Client(base_url=self.base, headers=self.headers, timeout=self.timeout, transport=direct)

    def async_client(self) -> httpx.AsyncClient:
        """As `client`, asynchronous."""
        with _environment():
            direct = httpx.AsyncHTTPTransport() if self.is_here else None
            return httpx.AsyncClient(base_url=self.base, headers=self.headers, timeout=self.timeout, transport=direct)


def server_at(url: str, api_key: str | None, timeout_s: float) -> ServerUrl:
    """Raises SettingsError: the URL or the key is invalid."""
    if api_key and not (api_key.isascii() and api_key.isprintable()):
        raise SettingsError("invalid API key; expected printable ASCII", param="api_key")
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return ServerUrl(_base(url), headers, httpx.Timeout(timeout_s, connect=CONNECT_S))


@contextmanager
def uploading(path: Path, on_sent: Callable[[int], None]) -> Iterator[dict[str, Any]]:
    """A recording as the `files` of a request. `on_sent` gets the number of bytes sent."""
    with path.open("rb") as file, mapped_errors():
        yield {"file": (path.name.encode("utf-8", "replace").decode(), _Counting(file, on_sent))}


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Map httpx's errors to `ServerError`."""
    try:
        yield
    except httpx.ConnectError as error:
        raise not_reached(_origin(error.request.url), error) from None
    except httpx.InvalidURL as error:
        raise ServerError(f"invalid URL: {error}") from None
    except httpx.HTTPError as error:
        raise ServerError(f"the connection to the server failed: {error}") from None


def checked(response: httpx.Response) -> httpx.Response:
    """Return the response if it is JSON and no error."""
    succeeded(response)
    try:
        response.json()
    except ValueError:
        kind = response.headers.get("content-type", "something unnamed")
        message = f"{response.url} responds with {kind}; expected JSON: is this a speech-to-text server?"
        raise ServerError(message, response.status_code) from None
    return response


def succeeded(response: httpx.Response) -> httpx.Response:
    """Return the response if it is no error. Its body must have been read."""
    if response.is_success:
        return response
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200].strip() or response.reason_phrase
    raise ServerError(f"the server says {response.status_code}: {message}", response.status_code)


def transcript_of(answer: dict[str, Any]) -> Transcript:
    """Convert `verbose_json` to a `Transcript`. Each word belongs to the segment in which it ends."""
    words = [
        Word(
            w["word"], w["start"], w["end"], w.get("confidence"), w.get("speaker"), other_speaker=w.get("other_speaker")
        )
        for w in answer.get("words") or ()
    ]
    language = code_of(answer.get("language") or "")
    segments = []
    for segment in answer.get("segments") or ():
        count = sum(word.end_s <= segment["end"] for word in words)
        own, words = tuple(words[:count]), words[count:]
        segments.append(
            Segment(
                segment["id"],
                segment["start"],
                segment["end"],
                segment["text"],
                language,
                own,
                segment.get("confidence"),
                speaker=segment.get("speaker"),
            )
        )
    return Transcript(
        answer["text"],
        language,
        answer["duration"],
        tuple(segments),
        stages_in(answer.get("timings") or {}),
        tuple(answer.get("warnings") or ()),
    )


def everything_in(language: str | None, hotwords: Sequence[str], track: str | None = None) -> dict[str, Any]:
    """Form fields for `transcript_of`. Raises InvalidRequestError if `hotwords` is a string."""
    if isinstance(hotwords, str):
        raise InvalidRequestError("invalid hotwords; expected a list of words", param="hotwords")
    options = {"language": language, "hotwords": ", ".join(hotwords), "track": track}
    return {**EVERYTHING, **{name: value for name, value in options.items() if value}}


def speaker_fields(
    diarize: bool, num_speakers: int | None, min_speakers: int | None, max_speakers: int | None
) -> dict[str, str]:
    """Form fields about speakers."""
    options = {"num_speakers": num_speakers, "min_speakers": min_speakers, "max_speakers": max_speakers}
    given = {name: str(value) for name, value in options.items() if value is not None}
    return {"diarize": "true", **given} if diarize else given


def alignment_fields(text: str, language: str | None, repeats: str, force: bool, track: str | None) -> dict[str, str]:
    """Form fields of an alignment with a JSON response."""
    options = {"language": language, "repeats": repeats, "force": "true" if force else None, "track": track}
    return {"text": text, **{name: value for name, value in options.items() if value}}


class _Counting:
    """A file that reports its position after each read."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._on_read(self._file.tell())
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextmanager
def _environment() -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
        text = "invalid proxy (HTTP_PROXY, …) or certificate (SSL_CERT_FILE, …) in the environment"
        raise SettingsError(f"{text}: {error}") from None


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url.rstrip("/").removesuffix("/v1"))
    except httpx.InvalidURL as error:
        raise SettingsError(f"invalid server URL {url!r}: {error}", param="url") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise SettingsError(f"invalid server URL {url!r}; expected one like http://127.0.0.1:8000", param="url")
    return base


def _origin(url: httpx.URL) -> str:
    """The URL's origin, without user and password."""
    return f"{url.scheme}://{url.netloc.decode()}/"
