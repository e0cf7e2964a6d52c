"""The client for programs that are not asynchronous."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import httpx

from steno.client.http_api import (
    TRANSCRIPTIONS,
    checked,
    everything_in,
    server_at,
    transcript_of,
    translated,
    uploading,
)
from steno.client.messages import Event
from steno.client.pulling import Chunk
from steno.client.stream_options import StreamArguments, StreamOptions
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
        self,
        path: str | Path,
        *,
        language: str | None = None,
        hotwords: Sequence[str] = (),
        track: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> Transcript:
        """Upload a recording and get everything that is known of it: text, segments, the times of words.

            with Client("http://127.0.0.1:8000") as client:
                print(client.transcribe("talk.mp4").text)

        Args:
            language: code (`en`) or name (`English`); None = the server finds out.
            hotwords: words that will come up.
            track: audio track of a file with several: its number, from 1, or its language.
            on_sent: told how many bytes have gone out, again and again.

        Raises:
            OSError: the file cannot be read.
            ServerError: with the server's own message and its `status`.
        """
        return transcript_of(self.post(path, everything_in(language, hotwords, track), on_sent).json())

    def post(
        self, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """Upload a recording with form fields of one's own, those of `POST /v1/audio/transcriptions`, for an answer in
        JSON.

        Raises as `transcribe`.
        """
        with uploading(Path(path), on_sent) as upload:
            return checked(self._http.post(TRANSCRIPTIONS, data=fields, files=upload))

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
