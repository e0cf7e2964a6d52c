"""Transcribes recordings in this process or on a server. Both return a `Transcript`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

from steno.cli.inputs import Recording
from steno.cli.options import SpeakerRequest
from steno.cli.progress import RecordingProgress

if TYPE_CHECKING:
    from steno.client import Client
    from steno.engine.front import Engine
    from steno.pipelines.recording_reader import RecordingOpener
    from steno.pipelines.recording_speakers import SpeakerOptions
    from steno.settings import Settings
    from steno.types import Transcript

T = TypeVar("T")


class Transcriber(Protocol):
    @property
    def identity(self) -> str:
        """Identifies the recogniser. A result is made again if it changes."""

    async def transcribe(
        self, recording: Recording, language: str | None, track: str | None, progress: RecordingProgress
    ) -> Transcript:
        """Transcribe one recording, with word times.

        Raises:
            StenoError, OSError: this recording failed.
        """


@asynccontextmanager
async def local_transcriber(
    settings: Settings, *, words: bool = True, speakers: SpeakerRequest | None = None
) -> AsyncIterator[Transcriber]:
    """An engine in this process. Its model is loaded with the first recording. `words`: give word times.
    `speakers`: tell them apart."""
    from steno import compose

    engine = compose.engine_of(settings)
    recordings = compose.recordings_of(settings, engine)
    try:
        async with engine:
            yield _LocalTranscriber(engine, recordings, words, speakers)
    finally:
        await recordings.aclose()
        recordings.resources.threads.shutdown(wait=False)  # `--profile` sees threads that have ended


@asynccontextmanager
async def remote_transcriber(
    url: str, api_key: str | None, speakers: SpeakerRequest | None = None
) -> AsyncIterator[Transcriber]:
    """A steno server."""
    from steno.client import Client

    with Client(url, api_key) as client:
        yield _RemoteTranscriber(client, url, speakers)


class _LocalTranscriber:
    def __init__(
        self, engine: Engine, recordings: RecordingOpener, words: bool, speakers: SpeakerRequest | None
    ) -> None:
        self._engine = engine
        self._recordings = recordings
        self._words = words
        self._speakers = speakers

    @property
    def identity(self) -> str:
        return self._engine.backend.model_id

    async def transcribe(
        self, recording: Recording, language: str | None, track: str | None, progress: RecordingProgress
    ) -> Transcript:
        from steno.pipelines.file import FileOptions, FileTranscription
        from steno.pipelines.request_checks import check_language

        engine = self._engine
        spoken = check_language(language, engine.capabilities, engine.backend.name)
        options = FileOptions(spoken, words=self._words, track=track, speakers=_speaker_options(self._speakers))
        reader = self._recordings.open(recording.path, track)
        async with (
            engine.admit() as ticket,
            FileTranscription.on(engine, reader, ticket, options) as transcription,
            aclosing(transcription.run()) as parts,
        ):
            await transcription.open()
            progress.total(reader.info.duration_s if reader.info else None)
            async for part in parts:
                progress.done(part.end_s)
            transcript = transcription.so_far()
        progress.done(transcript.duration_s)
        return transcript


class _RemoteTranscriber:
    def __init__(self, client: Client, url: str, speakers: SpeakerRequest | None) -> None:
        self._client = client
        self._url = url
        self._speakers = speakers

    @property
    def identity(self) -> str:
        return self._url

    async def transcribe(
        self, recording: Recording, language: str | None, track: str | None, progress: RecordingProgress
    ) -> Transcript:
        size = max(recording.path.stat().st_size, 1)
        asked = self._speakers or SpeakerRequest()
        transcript = await in_daemon_thread(
            lambda: self._client.transcribe(
                recording.path,
                language=language,
                track=track,
                diarize=self._speakers is not None,
                num_speakers=asked.number,
                min_speakers=asked.least,
                max_speakers=asked.most,
                on_sent=lambda sent: progress.sent(sent / size),
            )
        )
        progress.done(transcript.duration_s)
        return transcript


def _speaker_options(asked: SpeakerRequest | None) -> SpeakerOptions | None:
    from steno.pipelines.recording_speakers import MAX_SPEAKERS, SpeakerOptions

    if asked is None:
        return None
    return SpeakerOptions(asked.number or asked.least or 1, asked.number or asked.most or MAX_SPEAKERS)


async def in_daemon_thread(call: Callable[[], T]) -> T:
    """Like `asyncio.to_thread`, but Ctrl-C does not wait for a server that does not respond."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(outcome: T | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def work() -> None:
        outcome: T | Exception
        try:
            outcome = call()
        except Exception as error:  # noqa: BLE001 - raised in the awaiting task
            outcome = error
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=work, name="upload", daemon=True).start()
    return await future
