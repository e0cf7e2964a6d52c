"""The client for asynchronous programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
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
from steno.client.pulling import AudioSource
from steno.client.stream_options import StreamArguments, StreamOptions
from steno.types import Transcript


class AsyncClient:
    """Talks to one server. Use it as an asynchronous context manager. Arguments and errors are `Client`'s."""

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

    async def post(
        self, path: str | Path, fields: Mapping[str, Any], on_sent: Callable[[int], None] = lambda _: None
    ) -> httpx.Response:
        """As `Client.post`."""
        with uploading(Path(path), on_sent) as upload:
            return checked(await self._http.post(TRANSCRIPTIONS, data=fields, files=upload))

    async def get(self, path: str) -> Any:
        """As `Client.get`."""
        with translated():
            return checked(await self._http.get(path)).json()

    def stream(self, audio: AudioSource, **options: Unpack[StreamArguments]) -> AsyncGenerator[Event, None]:
        """Send audio as it comes, get captions as they settle: `Partial`s, and one `Final` for each segment.

            async with AsyncClient("http://127.0.0.1:8000") as client:
                async for event in client.stream(microphone(), words=True):
                    print(event.text)

        A connection that is lost is taken up again where the last final ended, for up to `reconnect_s`: no text is lost
        or doubled. The audio for that is kept, up to a minute of it; while the server is further behind, or the caller
        takes no finals, no more is read from `audio`. Whoever stops early leaves nothing behind: at the latest with the
        generator's `aclose`, the connection is closed and all tasks have ended.

        Args:
            audio: bytes in `encoding`, or an iterable of such, asynchronous or not; chunks of any size.
            options: see `StreamOptions`.

        Raises, while it is iterated:
            AuthenticationError, InvalidRequestError, …: the server refuses; tried once.
            OverloadedError, DrainingError: it is full or shuts down, and was so for `reconnect_s`, or says that it
                will be for longer.
            ConnectionLostError: it could not be reached again in that time, or the audio is a container (webm, ogg),
                which cannot be resumed.
            BacklogError: it takes audio, but tells nothing of it.
            ServerError: nothing answers there, or it is no steno server.
        and whatever reading `audio` raises.
        """
        checked_options = StreamOptions(**options)
        from steno.client.conversation import converse

        return converse(self._server, checked_options, audio)
