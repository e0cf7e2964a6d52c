"""The asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
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
from steno.client.pulling import AudioSource
from steno.client.stream_options import StreamArguments, StreamOptions
from steno.types import Transcript


class AsyncClient:
    """Uses one server. Use it as an asynchronous context manager. Arguments and errors as for `Client`."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 3600.0) -> None:
        self._server = server_at(url, api_key, timeout_s)
        self._http = self._server.async_client()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def transcribe(
        self,
        path: str | Path,
        *,
        language: str | None = None,
        hotwords: Sequence[str] = (),
        track: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> Transcript:
        """As `Client.transcribe`."""
        return transcript_of((await self.post(path, everything_in(language, hotwords, track), on_sent)).json())

    async def align(
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
        """As `Client.align`."""
        fields = alignment_fields(text, language, repeats, force, track)
        answer: dict[str, Any] = (await self._upload(ALIGNMENTS, path, fields, on_sent)).json()
        return answer

    async def post(
        self, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """As `Client.post`."""
        return await self._upload(TRANSCRIPTIONS, path, fields, on_sent)

    async def _upload(
        self, address: str, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None]
    ) -> httpx.Response:
        with uploading(Path(path), on_sent) as upload:
            return checked(await self._http.post(address, data=fields, files=upload))

    async def get(self, path: str) -> Any:
        """As `Client.get`."""
        with mapped_errors():
            return checked(await self._http.get(path)).json()

    def stream(self, audio: AudioSource, **options: Unpack[StreamArguments]) -> AsyncGenerator[Event, None]:
        """Send audio and yield captions: `Partial`s, and one `Final` per segment.

            async with AsyncClient("http://127.0.0.1:8000") as client:
                async for event in client.stream(microphone(), words=True):
                    print(event.text)

        A lost connection is resumed where the last final ended, with retries for up to `reconnect_s`: no text is lost
        or repeated. Up to a minute of audio is kept for that; reading `audio` pauses while the server is further behind
        or the caller takes no finals. The generator's `aclose` closes the connection and ends all tasks.

        Args:
            audio: bytes in `encoding`, or a synchronous or asynchronous iterable of bytes; chunks of any size.
            options: see `StreamOptions`.

        Raises, while it is iterated:
            AuthenticationError, InvalidRequestError, …: the server refuses; not retried.
            OverloadedError, DrainingError: the server is full or shuts down, for longer than `reconnect_s`.
            ConnectionLostError: the server could not be reached again in that time, or the audio is a container (webm,
                ogg), which cannot be resumed.
            BacklogError: the server takes audio, but confirms nothing.
            ServerError: there is no server, or it is no steno server.
        and what iterating `audio` raises.
        """
        checked_options = StreamOptions(**options)
        from steno.client.conversation import converse

        return converse(self._server, checked_options, audio)
