"""A job as JSON."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel

from steno.jobs.job import JobState, StoredJob
from steno.server.http.timings_json import ResultTimings

RECOGNITION = "recognize"
MAX_OPTION_CHARS = 200


class JobError(BaseModel):
    code: str
    message: str
    param: str | None = None


class JobCallback(BaseModel):
    """Times are Unix seconds."""

    url: str
    attempts: int
    delivered_at: float | None = None
    next_attempt_at: float | None = None
    problem: str | None = None
    """Why the last attempt failed."""


class JobJson(BaseModel):
    """Times are Unix seconds."""

    id: str
    object: Literal["job"] = "job"
    kind: str
    state: JobState
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    recording: str | None = None
    audio_url: str | None = None
    audio_s: float | None = None
    """Length of the recording, once it is known."""
    options: dict[str, Any]
    """As the client sent them; long texts are shortened."""
    attempts: int
    step: str | None = None
    progress: float
    """Share of the step that is done, in [0, 1]."""
    real_time_factor: float | None = None
    """Seconds of work for a second of audio."""
    timings: ResultTimings | None = None
    """Where the time of the last attempt went, if the job has succeeded."""
    time_left_s: float | None = None
    """Estimate for the recognition of the rest."""
    error: JobError | None = None
    callback: JobCallback | None = None


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[JobJson]
    has_more: bool


def job_json(job: StoredJob) -> JobJson:
    factor, left_s = _pace(job)
    failure, callback = job.failure, job.callback
    return JobJson(
        id=job.id,
        kind=job.kind,
        state=job.state,
        created_at=round(job.created, 3),
        started_at=_rounded(job.started),
        finished_at=_rounded(job.finished),
        recording=job.recording_name,
        audio_url=job.audio_url,
        audio_s=_rounded(job.audio_s),
        options={name: _shortened(value) for name, value in job.options.items()},
        attempts=job.attempts,
        step=job.step or None,
        progress=round(job.progress, 4),
        real_time_factor=factor,
        time_left_s=left_s,
        timings=ResultTimings.model_validate(job.timings) if job.timings else None,
        error=JobError(code=failure.code, message=failure.message, param=failure.param) if failure else None,
        callback=JobCallback(
            url=job.callback_url,
            attempts=callback.attempts,
            delivered_at=_rounded(callback.delivered),
            next_attempt_at=_rounded(callback.next_attempt),
            problem=callback.problem,
        )
        if job.callback_url
        else None,
    )


def callback_data(job: StoredJob) -> dict[str, Any]:
    """The job as callbacks contain it."""
    return job_json(job).model_dump(mode="json", exclude_none=True)


def _pace(job: StoredJob) -> tuple[float | None, float | None]:
    """Real-time factor, and seconds left; None where they are not known, as in an attempt that knows pieces already."""
    if job.started is None or not job.audio_s or job.attempts > 1:
        return None, None
    if job.state is JobState.SUCCEEDED and job.finished is not None:
        return round((job.finished - job.started) / job.audio_s, 4), None
    if job.state is not JobState.RUNNING or job.step != RECOGNITION or not job.progress:
        return None, None
    took_s = time.time() - job.started
    factor = took_s / (job.progress * job.audio_s)
    return round(factor, 4), round(took_s / job.progress * (1 - job.progress), 1)


def _shortened(value: Any) -> Any:
    return value[:MAX_OPTION_CHARS] + "…" if isinstance(value, str) and len(value) > MAX_OPTION_CHARS else value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
