"""The synchronous client."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import httpx

from steno.client.http_api import (
    ALIGNMENTS,
    TRANSCRIPTIONS,
    alignment_fields,
    checked,
    everything_in,
    mapped_errors,
    server_at,
    transcript_of,
    uploading,
)
from steno.client.messages import Event
from steno.client.pulling import Chunk
from steno.client.stream_options import StreamArguments, StreamOptions
from steno.types import Transcript


class Client:
    """Uses one server. Use it as a context manager.

    Args:
        url: the server's URL, such as `http://127.0.0.1:8000`; with or without `/v1`.
        timeout_s: time limit of a response.

    Raises:
        SettingsError: the URL, the key, or the environment's proxy or certificate is invalid.
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
        """Upload a recording and return its transcript with segments and words.

            with Client("http://127.0.0.1:8000") as client:
                print(client.transcribe("talk.mp4").text)

        Args:
            language: code (`en`) or name (`English`); None = detect.
            hotwords: terms to recognise.
            track: audio track of files with several: number (from 1) or language.
            on_sent: called repeatedly with the number of bytes sent.

        Raises:
            OSError: the file cannot be read.
            ServerError: the server responded with an error; has its message and `status`.
        """
        return transcript_of(self.post(path, everything_in(language, hotwords, track), on_sent).json())

    def align(
        self,
        path: str | Path,
        text: str,
        *,
        language: str | None = None,
        repeats: str = "auto",
        force: bool = False,
        track: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> dict[str, Any]:
        """Upload a recording and its text (lyrics, a script), and return when each line is said.

            with Client("http://127.0.0.1:8000") as client:
                for line in client.align("song.mp3", Path("lyrics.txt").read_text())["lines"]:
                    print(line["start_s"], line["text"])

        Args:
            repeats: `auto` = lines and sections may be sung again; `as_written`.
            force: time a text that does not match the audio.

        Returns:
            The JSON of `POST /v1/audio/alignments`, which `docs/alignment.md` describes.

        Raises as `transcribe`.
        """
        fields = alignment_fields(text, language, repeats, force, track)
        answer: dict[str, Any] = self._upload(ALIGNMENTS, path, fields, on_sent).json()
        return answer

    def post(
        self, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """Upload a recording with any form fields of `POST /v1/audio/transcriptions` that give a JSON response.

        Raises as `transcribe`.
        """
        return self._upload(TRANSCRIPTIONS, path, fields, on_sent)

    def _upload(
        self, address: str, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None]
    ) -> httpx.Response:
        with uploading(Path(path), on_sent) as upload:
            return checked(self._http.post(address, data=fields, files=upload))

    def get(self, path: str) -> Any:
        """GET a JSON document.

        Raises:
            ServerError: the server responded with an error.
        """
        with mapped_errors():
            return checked(self._http.get(path)).json()

    def stream(
        self, audio: Chunk | Iterable[Chunk], **options: Unpack[StreamArguments]
    ) -> Generator[Event, None, None]:
        """As `AsyncClient.stream`, for a synchronous caller: an event loop runs in a thread during the iteration.

            with Client("http://127.0.0.1:8000") as client:
                for event in client.stream(microphone(), words=True):
                    print(event.text)

        `audio` is iterated in another thread. If the caller stops early, that thread ends after the `next` in progress.
        """
        checked_options = StreamOptions(**options)
        from steno.client.background import in_background
        from steno.client.conversation import converse

        return in_background(converse(self._server, checked_options, audio))
