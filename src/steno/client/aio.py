"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Unpack

import httpx

from steno.client.exceptions import ServerError
from steno.client.http_api import (
    ALIGNMENTS,
    TRANSCRIPTIONS,
    alignment_fields,
    checked,
    everything_in,
    mapped_errors,
    server_at,
    speaker_fields,
    succeeded,
    transcript_of,
    uploading,
)
from steno.client.job_requests import (
    JOBS,
    RECONNECT_S,
    JobPages,
    JobStream,
    is_url,
    job_path,
    stream_timeout,
    submission_fields,
    url_only,
)
from steno.client.job_status import JobOutput, JobStatus, output_of
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
        diarize: bool = False,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> Transcript:
        """As `Client.transcribe`."""
        fields = everything_in(language, hotwords, track)
        fields |= speaker_fields(diarize, num_speakers, min_speakers, max_speakers)
        return transcript_of((await self.post(path, fields, on_sent)).json())

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

    async def submit_job(
        self,
        source: str | Path,
        kind: str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        **options: Any,
    ) -> JobStatus:
        """As `Client.submit_job`."""
        fields = submission_fields(kind, options, callback_url, idempotency_key)
        if is_url(source):
            with mapped_errors():
                answer = checked(await self._http.post(JOBS, files=url_only(fields, str(source))))
        else:
            answer = await self._upload(JOBS, source, fields, on_sent)
        return JobStatus.of(answer.json())

    async def job(self, job_id: str) -> JobStatus:
        """As `Client.job`."""
        return JobStatus.of(await self.get(job_path(job_id)))

    async def jobs(self, limit: int | None = 20) -> list[JobStatus]:
        """As `Client.jobs`."""
        pages = JobPages(limit)
        while pages.has_more:
            with mapped_errors():
                pages.add(checked(await self._http.get(JOBS, params=pages.query)).json())
        return pages.jobs

    async def job_result(self, job_id: str) -> JobOutput:
        """As `Client.job_result`."""
        with mapped_errors():
            return output_of(succeeded(await self._http.get(job_path(job_id, "/result"))))

    async def cancel_job(self, job_id: str) -> JobStatus:
        """As `Client.cancel_job`."""
        with mapped_errors():
            return JobStatus.of(checked(await self._http.post(job_path(job_id, "/cancel"))).json())

    async def delete_job(self, job_id: str) -> JobStatus:
        """As `Client.delete_job`."""
        with mapped_errors():
            return JobStatus.of(checked(await self._http.delete(job_path(job_id))).json())

    async def wait_for_job(
        self,
        job_id: str,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
        reconnect_s: float = RECONNECT_S,
    ) -> JobStatus:
        """As `Client.wait_for_job`."""
        stream = JobStream(reconnect_s)
        while True:
            error = None
            try:
                async with aclosing(self._job_events(job_id, stream)) as events:
                    async for job in events:
                        on_progress(job)
                        if job.has_ended:
                            return job
            except ServerError as lost:
                error = lost
            await asyncio.sleep(stream.pause_s(error))

    async def _job_events(self, job_id: str, stream: JobStream) -> AsyncGenerator[JobStatus, None]:
        timeout = stream_timeout(self._server.timeout)
        with mapped_errors():
            async with self._http.stream("GET", job_path(job_id, "/events"), timeout=timeout) as response:
                if not response.is_success:
                    await response.aread()
                async for line in succeeded(response).aiter_lines():
                    if (job := stream.read(line)) is not None:
                        yield job

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
        or repeated. A server that shuts down is one; with `fallback_urls`, the next server takes over. Up to a minute
        of audio is kept for that; reading `audio` pauses while the server is further behind or the caller takes no
        finals. The generator's `aclose` closes the connection and ends all tasks.

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
        servers = self._server.with_fallbacks(checked_options.fallback_urls)
        from steno.client.conversation import converse

        return converse(servers, checked_options, audio)
