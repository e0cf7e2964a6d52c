"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
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
        diarize: bool = False,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
    ) -> Transcript:
        """Upload a recording and return its transcript with segments and words.

            with Client("http://127.0.0.1:8000") as client:
                print(client.transcribe("talk.mp4").text)

        Args:
            language: code (`en`) or name (`English`); None = detect.
            hotwords: terms to recognise.
            track: audio track of files with several: number (from 1) or language.
            diarize: tell the speakers apart; words and segments have a `speaker`.
            num_speakers: how many speakers there are, if that is known; or `min_speakers` and `max_speakers`.
            on_sent: called repeatedly with the number of bytes sent.

        Raises:
            OSError: the file cannot be read.
            ServerError: the server responded with an error; has its message and `status`.
        """
        fields = everything_in(language, hotwords, track)
        fields |= speaker_fields(diarize, num_speakers, min_speakers, max_speakers)
        return transcript_of(self.post(path, fields, on_sent).json())

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

    def submit_job(
        self,
        source: str | Path,
        kind: str,
        *,
        callback_url: str | None = None,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] = lambda _: None,
        **options: Any,
    ) -> JobStatus:
        """Store a job: work on a recording that outlives the connection, and the server.

            with Client("http://127.0.0.1:8000") as client:
                job = client.submit_job("talk.mp4", "subtitles", response_format="vtt")
                client.wait_for_job(job.id)
                print(client.job_result(job.id).text)

        Args:
            source: a file, or the URL of a recording, which the server fetches.
            kind: `transcription`, `subtitles`, `translation` or `alignment`.
            callback_url: gets a signed POST when the job has ended.
            idempotency_key: a second job with the same key is not stored; the first one is returned.
            options: form fields of the kind's own route, such as `response_format`.

        Raises as `transcribe`.
        """
        fields = submission_fields(kind, options, callback_url, idempotency_key)
        if is_url(source):
            with mapped_errors():
                answer = checked(self._http.post(JOBS, files=url_only(fields, str(source))))
        else:
            answer = self._upload(JOBS, source, fields, on_sent)
        return JobStatus.of(answer.json())

    def job(self, job_id: str) -> JobStatus:
        """The state of a job. Raises ServerError, with `status` 404: there is no such job of this key."""
        return JobStatus.of(self.get(job_path(job_id)))

    def jobs(self, limit: int | None = 20) -> list[JobStatus]:
        """The jobs of this key, the newest first. `limit`: None = all. Raises ServerError."""
        pages = JobPages(limit)
        while pages.has_more:
            with mapped_errors():
                pages.add(checked(self._http.get(JOBS, params=pages.query)).json())
        return pages.jobs

    def job_result(self, job_id: str) -> JobOutput:
        """What a job has made. Raises ServerError, with `status` 409: it has not ended, failed or was cancelled."""
        with mapped_errors():
            return output_of(succeeded(self._http.get(job_path(job_id, "/result"))))

    def cancel_job(self, job_id: str) -> JobStatus:
        """Cancel a job that has not ended; one that has stays as it is, with its result. Returns what it is then.

        Raises:
            ServerError: the server responded with an error; 404 = there is no such job of this key.
        """
        with mapped_errors():
            return JobStatus.of(checked(self._http.post(job_path(job_id, "/cancel"))).json())

    def delete_job(self, job_id: str) -> JobStatus:
        """Cancel a job that has not ended; delete one that has, with its result. Returns what it was before.

        Raises:
            ServerError: as `cancel_job`.
        """
        with mapped_errors():
            return JobStatus.of(checked(self._http.delete(job_path(job_id))).json())

    def wait_for_job(
        self,
        job_id: str,
        on_progress: Callable[[JobStatus], None] = lambda _: None,
        reconnect_s: float = RECONNECT_S,
    ) -> JobStatus:
        """Wait until a job has ended. A lost connection is opened again, also when the server restarts.

        Args:
            on_progress: called with the job at each change.
            reconnect_s: how long to try to reach a server that was lost.

        Returns:
            The job, which has succeeded, failed or been cancelled: see its `state`.

        Raises:
            ServerError: there is no such job, or no such server.
            ConnectionLostError: the server did not come back in time.
        """
        stream = JobStream(reconnect_s)
        while True:
            error = None
            try:
                with closing(self._job_events(job_id, stream)) as events:
                    for job in events:
                        on_progress(job)
                        if job.has_ended:
                            return job
            except ServerError as lost:
                error = lost
            time.sleep(stream.pause_s(error))

    def _job_events(self, job_id: str, stream: JobStream) -> Generator[JobStatus, None, None]:
        timeout = stream_timeout(self._server.timeout)
        with mapped_errors(), self._http.stream("GET", job_path(job_id, "/events"), timeout=timeout) as response:
            if not response.is_success:
                response.read()
            for line in succeeded(response).iter_lines():
                if (job := stream.read(line)) is not None:
                    yield job

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
        servers = self._server.with_fallbacks(checked_options.fallback_urls)
        from steno.client.background import in_background
        from steno.client.conversation import converse

        return in_background(converse(servers, checked_options, audio))
