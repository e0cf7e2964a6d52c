"""`/v1/jobs`: work on recordings that outlives the request, and the server."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import FormData, UploadFile

from steno.errors import InvalidRequestError, JobFailedError, JobNotFinishedError, UnsupportedFeatureError
from steno.jobs.job import JobState, StoredJob
from steno.jobs.job_service import JobService, NewJob
from steno.server.http import sse, upload
from steno.server.http.answer import Answer
from steno.server.http.error_response import documented
from steno.server.http.form_fields import FormRoute, storing
from steno.server.http.job_json import JobJson, JobList, job_json
from steno.server.http.openapi import JOB_FORM, REFUSALS
from steno.server.services import Services, services_of

router = APIRouter(tags=["jobs"], route_class=FormRoute)
ServicesDep = Annotated[Services, Depends(services_of)]

POLL_S = 0.5
MAX_URL = 4000
MAX_KEY = 200
OWN_FIELDS = ("kind", "file", "audio_url", "callback_url", "idempotency_key")
NOT_FOUND = documented(400, 401, 404)


def jobs_of(services: ServicesDep) -> JobService:
    """For `Depends`. Raises UnsupportedFeatureError: the server takes no jobs."""
    if services.jobs is None:
        raise UnsupportedFeatureError("this server takes no jobs; its operator can set JOBS_DB")
    return services.jobs


JobsDep = Annotated[JobService, Depends(jobs_of)]


@router.post("/v1/jobs", status_code=202, response_model=JobJson, responses=REFUSALS, openapi_extra=JOB_FORM)
async def submit(request: Request, response: Response, services: ServicesDep, jobs: JobsDep) -> JobJson:
    """Store a job: `kind` says which, and the other fields are those of its route, like `response_format`. A job with
    a known `idempotency_key` is not stored again."""
    form = await request.form()
    kind = _text(form, "kind", 50) or ""
    if kind not in jobs.works:
        raise InvalidRequestError(f"invalid kind {kind!r}; expected one of {', '.join(jobs.works)}", param="kind")
    work = jobs.works[kind]
    options = {name: _value(form, name) for name in form if name in work.fields and name not in OWN_FIELDS}
    options = {name: value for name, value in options.items() if value != ""}
    work.check(options)
    if unknown := [name for name in form if name not in (*work.fields, *OWN_FIELDS)]:
        upload.check_speaker_fields(unknown, work.fields)
        response.headers["X-Steno-Ignored"] = upload.header_names(unknown)
    url = _text(form, "audio_url", MAX_URL)
    file = await _recording(request, form, services, url)
    key = _text(form, "idempotency_key", MAX_KEY) or request.headers.get("idempotency-key", "")[:MAX_KEY] or None
    new = NewJob(
        owner=services.owner_of(request),
        kind=kind,
        options=options,
        recording_name=file.filename if file is not None else None,
        audio_url=url,
        callback_url=_text(form, "callback_url", MAX_URL),
        idempotency_key=key,
        recording_digest=await asyncio.to_thread(_digest, file) if key and file is not None else None,
    )

    async def save(path: Path) -> None:
        assert file is not None
        await asyncio.to_thread(_copy, file, path)

    with storing():
        return job_json(await jobs.submit(new, save if file is not None else None))


@router.get("/v1/jobs", response_model=JobList, responses=documented(400, 401))
async def list_jobs(
    request: Request,
    services: ServicesDep,
    jobs: JobsDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    before: Annotated[float | None, Query(description="Jobs created before this `created_at`.")] = None,
) -> JobList:
    """The caller's jobs, the newest first."""
    found = await jobs.store.newest(services.owner_of(request), limit + 1, before)
    return JobList(data=[job_json(job) for job in found[:limit]], has_more=len(found) > limit)


@router.get("/v1/jobs/{job_id}", response_model=JobJson, responses=NOT_FOUND)
async def get_job(request: Request, job_id: str, services: ServicesDep, jobs: JobsDep) -> JobJson:
    """The state of a job: what it does, how far it is, why it failed."""
    return job_json(await jobs.get(job_id, services.owner_of(request)))


@router.get("/v1/jobs/{job_id}/result", response_class=Response, responses={**NOT_FOUND, **documented(409)})
async def get_result(request: Request, job_id: str, services: ServicesDep, jobs: JobsDep) -> Response:
    """The result, as the route of the job's kind would have responded."""
    job = await jobs.get(job_id, services.owner_of(request))
    if job.failure is not None:
        raise JobFailedError(f"the job failed: {job.failure.message}", param=job.failure.param)
    if job.state is JobState.CANCELLED:
        raise JobFailedError("the job was cancelled")
    result = await jobs.store.result(job_id) if job.state is JobState.SUCCEEDED else None
    if result is None:
        raise JobNotFinishedError(f"the job is {job.state}; it has no result yet")
    return Answer(result.body, result.media_type, result.headers, result.extension).response({}, job.recording_name)


@router.get("/v1/jobs/{job_id}/events", response_class=Response, responses=NOT_FOUND)
async def get_events(request: Request, job_id: str, services: ServicesDep, jobs: JobsDep) -> Response:
    """Server-sent events: the job, at each change, until it has ended."""
    owner = services.owner_of(request)
    job = await jobs.get(job_id, owner)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    events = sse.with_pings(_events(job, owner, jobs, services.engine.shutting_down))
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


@router.post("/v1/jobs/{job_id}/cancel", response_model=JobJson, responses=NOT_FOUND)
async def cancel_job(request: Request, job_id: str, services: ServicesDep, jobs: JobsDep) -> JobJson:
    """Cancel a job that has not ended. One that has ended stays as it is, with its result. Returns what it is then."""
    return job_json(await jobs.cancel(job_id, services.owner_of(request)))


@router.delete("/v1/jobs/{job_id}", response_model=JobJson, responses=NOT_FOUND)
async def delete_job(request: Request, job_id: str, services: ServicesDep, jobs: JobsDep) -> JobJson:
    """Cancel a job that has not ended; delete one that has. Returns what it was."""
    return job_json(await jobs.delete(job_id, services.owner_of(request)))


async def _events(
    job: StoredJob, owner: str, service: JobService, shutting_down: Callable[[], Coroutine[Any, Any, None]]
) -> AsyncIterator[bytes]:
    """The job's changes, until it has ended or the server shuts down: then clients come back."""
    shown: StoredJob | None = None
    draining = asyncio.create_task(shutting_down(), name="job events' drain watch")
    try:
        while True:
            if job != shown:
                shown = job
                yield sse.encoded(job_json(job).model_dump_json(exclude_none=True))
            if job.state.is_final or draining.done():
                return
            await asyncio.wait([draining], timeout=POLL_S)
            found = await service.store.get(job.id, owner)
            if found is None:
                return
            job = found
    finally:
        draining.cancel()
        await asyncio.wait([draining])


async def _recording(request: Request, form: FormData, services: Services, url: str | None) -> UploadFile | None:
    """The recording; None if it is at `url`. Raises InvalidRequestError if there is none, or both."""
    await upload.check_single(request)
    file = form.get("file")
    if url is not None:
        if file is not None:
            raise InvalidRequestError("expected either 'file' or 'audio_url', not both", param="audio_url")
        upload.check_url(url, services)
        return None
    return upload.file_of(request, file)


def _text(form: FormData, name: str, max_chars: int) -> str | None:
    """A field's text; None if it is missing or empty."""
    value = form.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > max_chars:
        raise InvalidRequestError(f"{name}: expected a text of at most {max_chars} characters", param=name)
    return value


def _value(form: FormData, name: str) -> Any:
    """A field's text, or the texts of a repeated one."""
    values = form.getlist(name)
    if not all(isinstance(value, str) for value in values):
        raise InvalidRequestError(f"{name}: expected a text, not a file", param=name)
    return values if name.endswith("[]") else values[-1]


def _digest(file: UploadFile) -> str:
    file.file.seek(0)
    return hashlib.file_digest(file.file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()  # type: ignore[arg-type]


def _copy(file: UploadFile, path: Path) -> None:
    file.file.seek(0)
    with path.open("wb") as target:
        shutil.copyfileobj(file.file, target, 2**20)
