"""Who transcribes: this process, or a server. Both give a `Transcript`, so that everything after is the same."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from steno.cli.inputs import Recording
from steno.cli.progress import RecordingProgress

if TYPE_CHECKING:
    from steno.client import Client
    from steno.engine.engine import Engine
    from steno.pipelines.recording_reader import RecordingOpener
    from steno.settings import Settings
    from steno.types import Transcript


class Transcriber(Protocol):
    @property
    def identity(self) -> str:
        """What recognises: results of another one are not the same results."""

    async def transcribe(self, recording: Recording, language: str | None, shown: RecordingProgress) -> Transcript:
        """With word times.

        Raises:
            StenoError, OSError: what befell this recording alone.
        """


@asynccontextmanager
async def here(settings: Settings, *, words: bool = True) -> AsyncIterator[Transcriber]:
    """An engine in this process, loaded when the first recording wants it. `words`: whether word times are wanted."""
    from steno import compose

    engine = compose.engine_of(settings)
    recordings = compose.recordings_of(settings, engine)
    try:
        async with engine:
            yield _Here(engine, recordings, words)
    finally:
        await recordings.aclose()


@asynccontextmanager
async def at_server(url: str, api_key: str | None) -> AsyncIterator[Transcriber]:
    """A steno server."""
    from steno.client import Client

    with Client(url, api_key) as client:
        yield _AtServer(client, url)


class _Here:
    def __init__(self, engine: Engine, recordings: RecordingOpener, words: bool) -> None:
        self._engine = engine
        self._recordings = recordings
        self._words = words

    @property
    def identity(self) -> str:
        return self._engine.backend.model_id

    async def transcribe(self, recording: Recording, language: str | None, shown: RecordingProgress) -> Transcript:
        from steno.pipelines.file import FileOptions, FileTranscription
        from steno.pipelines.request_checks import check_language

        engine = self._engine
        options = FileOptions(check_language(language, engine.capabilities, engine.backend.name), words=self._words)
        reader = self._recordings.open(recording.path)
        async with (
            engine.admit() as ticket,
            FileTranscription.on(engine, reader, ticket, options) as transcription,
            aclosing(transcription.run()) as parts,
        ):
            await transcription.open()
            shown.total(reader.info.duration_s if reader.info else None)
            async for part in parts:
                shown.done(part.end_s)
            transcript = transcription.so_far()
        shown.done(transcript.duration_s)
        return transcript


class _AtServer:
    def __init__(self, client: Client, url: str) -> None:
        self._client = client
        self._url = url

    @property
    def identity(self) -> str:
        return self._url

    async def transcribe(self, recording: Recording, language: str | None, shown: RecordingProgress) -> Transcript:
        size = max(recording.path.stat().st_size, 1)
        transcript = await _in_daemon_thread(
            lambda: self._client.transcribe(
                recording.path, language=language, on_sent=lambda sent: shown.sent(sent / size)
            )
        )
        shown.done(transcript.duration_s)
        return transcript


async def _in_daemon_thread(call: Callable[[], Transcript]) -> Transcript:
    """Like `asyncio.to_thread`, but Ctrl-C does not wait for a server that does not answer."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Transcript] = loop.create_future()

    def settle(result: Transcript | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            assert result is not None
            future.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as problem:  # noqa: BLE001 - handed to whoever waits
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="upload", daemon=True).start()
    return await future
