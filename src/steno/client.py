"""A small client of steno's HTTP API, for the command line and for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from steno.errors import StenoError

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
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 3600.0) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        base = url.rstrip("/").removesuffix("/v1")
        self._http = httpx.Client(base_url=base, headers=headers, timeout=httpx.Timeout(timeout_s, connect=CONNECT_S))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def transcribe(
        self, path: Path, fields: dict[str, str], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """Upload a file with form `fields`; `on_sent` is told how many bytes have gone out.

        Raises:
            ServerError: with the server's own message.
        """
        with path.open("rb") as file, _translated():
            upload = {"file": (path.name, _Counting(file, on_sent))}
            return _checked(self._http.post("/v1/audio/transcriptions", data=fields, files=upload))  # type: ignore[arg-type]

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


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError as error:
        raise ServerError(f"nothing answers at {error.request.url.copy_with(path='/')}: is the server up?") from None
    except httpx.HTTPError as error:
        raise ServerError(f"the connection to the server failed: {error}") from None


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = response.text[:200]
    raise ServerError(f"the server says {response.status_code}: {message}", response.status_code)
