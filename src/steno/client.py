"""A small client of steno's HTTP API, for the command line and for tests."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from steno.errors import SettingsError, StenoError
from steno.languages import code_of
from steno.types import Segment, Transcript, Word

CONNECT_S = 10.0


class ServerError(StenoError):
    """The server answered with an error, or did not answer."""

    code = "server_error"

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Client:
    """Talks to one server. Use it as a context manager.

    Args:
        url: where the server is, such as `http://127.0.0.1:8000`; with or without `/v1`.
        timeout_s: for a whole answer.

    Raises:
        SettingsError: the URL or the key cannot be one, or what the environment says of proxies and certificates.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 3600.0) -> None:
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise SettingsError("the API key holds characters that no HTTP header can", param="api_key")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        base = _base(url)
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_S)
        try:
            # A proxy does not know the way back to this machine. A transport of one's own leaves the environment's
            # proxies out and, unlike `trust_env=False`, still trusts its SSL_CERT_FILE.
            direct = httpx.HTTPTransport() if _is_here(base.host) else None
            self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout, transport=direct)
        except (httpx.InvalidURL, ImportError, OSError, ValueError) as error:
            text = "the environment's proxy (HTTP_PROXY, …) or certificate (SSL_CERT_FILE, …) cannot be used"
            raise SettingsError(f"{text}: {error}") from None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def transcribe(
        self, path: Path, fields: dict[str, Any], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """Upload a file with form `fields`; `on_sent` is told how many bytes have gone out.

        Raises:
            ServerError: with the server's own message.
        """
        with path.open("rb") as file, _translated():
            upload = {"file": (path.name.encode("utf-8", "replace").decode(), _Counting(file, on_sent))}
            return _checked(self._http.post("/v1/audio/transcriptions", data=fields, files=upload))  # type: ignore[arg-type]

    def transcript(
        self, path: Path, language: str | None = None, on_sent: Callable[[int], None] = lambda _: None
    ) -> Transcript:
        """Upload a file and get everything that is known of it, word times included.

        Raises:
            ServerError: with the server's own message.
        """
        fields: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]}
        if language:
            fields["language"] = language
        return _transcript(self.transcribe(path, fields, on_sent).json())

    def get(self, path: str) -> Any:
        """GET a JSON document.

        Raises:
            ServerError: with the server's own message.
        """
        with _translated():
            return _checked(self._http.get(path)).json()


class _Counting:
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._on_read = on_read

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._on_read(self._file.tell())
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _base(url: str) -> httpx.URL:
    try:
        base = httpx.URL(url.rstrip("/").removesuffix("/v1"))
    except httpx.InvalidURL as error:
        raise SettingsError(f"{url!r} is no URL of a server: {error}", param="url") from None
    if base.scheme not in ("http", "https") or not base.host:
        raise SettingsError(f"{url!r} is no URL of a server; one is like http://127.0.0.1:8000", param="url")
    return base


def _is_here(host: str) -> bool:
    """Whether it is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as error:
        server = _origin(error.request.url)
        tls = _tls_error_behind(error)
        if isinstance(tls, ssl.SSLCertVerificationError):
            advice = "SSL_CERT_FILE can name a file with the authority that signed it"
            raise ServerError(f"the certificate of {server} is not trusted: {tls.verify_message}; {advice}") from None
        if tls:
            raise ServerError(f"no TLS with {server}: {tls.reason or tls}; does it serve https?") from None
        raise ServerError(f"nothing answers at {server}: is the server up?") from None
    except httpx.InvalidURL as error:
        raise ServerError(f"the server cannot be asked for this: {error}") from None
    except httpx.HTTPError as error:
        raise ServerError(f"the connection to the server failed: {error}") from None


def _transcript(answer: dict[str, Any]) -> Transcript:
    """`verbose_json` as a `Transcript`; each word goes to the segment in which it ends."""
    words = [Word(w["word"], w["start"], w["end"], w.get("confidence")) for w in answer.get("words") or ()]
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
            )
        )
    return Transcript(answer["text"], language, answer["duration"], tuple(segments), answer.get("timings") or {})


def _origin(url: httpx.URL) -> str:
    """Without the user and the password that may be in it."""
    return f"{url.scheme}://{url.netloc.decode()}/"


def _tls_error_behind(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is JSON and no error."""
    if response.is_success:
        try:
            response.json()
        except ValueError:
            kind = response.headers.get("content-type", "something unnamed")
            message = f"{response.url} answers with {kind}, not with JSON: is this the URL of a speech-to-text server?"
            raise ServerError(message, response.status_code) from None
        return response
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200].strip() or response.reason_phrase
    raise ServerError(f"the server says {response.status_code}: {message}", response.status_code)
