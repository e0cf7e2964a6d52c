"""The kinds of jobs: work on a recording, run later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError

from steno.engine.ticket import Ticket
from steno.errors import InvalidRequestError
from steno.jobs.job import JobResult, StoredJob
from steno.jobs.job_worker import JobProgress
from steno.server.http.alignments import ALIGNMENT_WORK
from steno.server.http.forms import RecordingForm
from steno.server.http.recording_work import RecordingCall, RecordingWork
from steno.server.http.subtitles import SUBTITLES
from steno.server.http.timings_json import timings_json
from steno.server.http.transcriptions import TRANSCRIPTION
from steno.server.http.translations import TRANSLATION_WORK
from steno.server.http.upload import ALIASES
from steno.server.services import Services

F = TypeVar("F", bound=RecordingForm)
WORKS: Sequence[RecordingWork[Any]] = (TRANSCRIPTION, SUBTITLES, TRANSLATION_WORK, ALIGNMENT_WORK)


class RecordingJobs:
    """One kind of job: a `JobWork`. Its `services` are set later, because they contain the jobs."""

    def __init__(self, work: RecordingWork[Any]) -> None:
        self._work = work
        self._adapter: TypeAdapter[RecordingForm] = TypeAdapter(work.form)
        self.services: Services | None = None

    @property
    def fields(self) -> list[str]:
        """Names of the form's fields, as clients send them."""
        return [ALIASES.get(field.name, field.name) for field in fields(self._work.form)]

    def check(self, options: Mapping[str, Any]) -> None:
        """Raises RequestValidationError, InvalidRequestError: an option is invalid."""
        self._work.check(self._form(options), self._services)

    async def length_s(self, recording: Path) -> float | None:
        """Length of the recording in seconds; None if its header does not say it. Raises AudioError."""
        reader = self._services.recordings.open(recording)
        try:
            await reader.read()
            return reader.info.duration_s if reader.info is not None else None
        finally:
            await reader.aclose()

    async def run(self, job: StoredJob, recording: Path, ticket: Ticket, progress: JobProgress) -> JobResult:
        def measured(audio_s: float) -> None:
            progress.audio_s = audio_s

        with recording.open("rb") as file:  # opening a local file is quick
            times = self._services.stage_times()
            call = RecordingCall(file, ticket, self._services, times, progress.report, measured)
            answer = await self._work.perform(self._form(job.options), call)
        timings = timings_json(times, progress.audio_s or 0.0).model_dump(exclude_none=True)
        return JobResult(answer.body, answer.media_type, dict(answer.headers), answer.extension, timings)

    @property
    def _services(self) -> Services:
        assert self.services is not None
        return self.services

    def _form(self, options: Mapping[str, Any]) -> RecordingForm:
        try:
            form = self._adapter.validate_python(dict(options))
        except ValidationError as error:
            problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
            raise RequestValidationError(problems) from None
        if getattr(form, "stream", False):
            raise InvalidRequestError("stream=true is not supported in a job; read its /events", param="stream")
        return form


def job_works() -> dict[str, RecordingJobs]:
    """By kind."""
    return {work.name: RecordingJobs(work) for work in WORKS}
