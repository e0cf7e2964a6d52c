"""The client for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, Unpack

import httpx

from steno.client.events import Event
from steno.client.options import StreamArguments, StreamOptions
from steno.client.pulling import Chunk
from steno.client.server import TRANSCRIPTIONS, checked, everything_in, server_at, transcript_of, translated, uploading
from steno.types import Transcript


class Client:
    """Talks to one server. Use it as a context manager.

    Args:
        url: where the server is, such as `http://127.0.0.1:8000`; with or without `/v1`.
        timeout_s: for a whole answer.

    Raises:
        SettingsError: the URL or the key cannot be one, or what the environment says of proxies and certificates.
    """

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 3600.0) -> None:
        self._server = server_at(url, api_key, timeout_s)
        self._http = self._server.client()

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
        with uploading(path, on_sent) as upload:
            return checked(self._http.post(TRANSCRIPTIONS, data=fields, files=upload))

    def transcript(
        self, path: Path, language: str | None = None, on_sent: Callable[[int], None] = lambda _: None
    ) -> Transcript:
        """Upload a file and get everything that is known of it, word times included.

        Raises:
            ServerError: with the server's own message.
        """
        return transcript_of(self.transcribe(path, everything_in(language), on_sent).json())

    def get(self, path: str) -> Any:
        """GET a JSON document.

        Raises:
            ServerError: with the server's own message.
        """
        with translated():
            return checked(self._http.get(path)).json()

    def stream(
        self, audio: Chunk | Iterable[Chunk], **options: Unpack[StreamArguments]
    ) -> Generator[Event, None, None]:
        """As `AsyncClient.stream`, without an event loop of the caller's: one runs in a thread while this is iterated.

            with Client("http://127.0.0.1:8000") as client:
                for event in client.stream(microphone(), words=True):
                    print(event.text)

        `audio` is iterated in a thread as well; where the caller stops early, that one ends with the `next` that is
        under way.
        """
        checked_options = StreamOptions(**options)
        from steno.client.background import in_background
        from steno.client.conversation import converse

        return in_background(converse(self._server, checked_options, audio))
