"""Takes jobs off the store and runs them, some at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger

from steno import request_ids, tracing
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.engine.ticket import Ticket
from steno.errors import (
    DeadlineExceededError,
    DrainingError,
    JobQuotaError,
    JobStorageError,
    RetryableError,
    StenoError,
    UnsupportedFeatureError,
)
from steno.jobs.alarm import Alarm
from steno.jobs.job import JobFailure, JobResult, StoredJob
from steno.jobs.job_store import JobStore
from steno.jobs.piece_results import PieceResults

if TYPE_CHECKING:
    from steno.outbound.fetch import UrlFetcher

MAX_ATTEMPTS = 8
"""After so many attempts a job fails that ends the server, or meets errors that may pass. A graceful stop does not
count."""
PAUSES_S = (5.0, 15.0, 60.0, 300.0)
"""Before the next attempt, after errors that may pass."""
IDLE_S = 30.0
REPORT_S = 1.0
DAY_S = 86_400.0


class JobWork(Protocol):
    """One kind of work, as the server defines it."""

    services: Any
    """The server's; set before anything is called."""

    @property
    def fields(self) -> Sequence[str]:
        """Names of its options, as clients send them."""

    def check(self, options: Mapping[str, Any]) -> None:
        """Raises what is wrong with the options."""

    async def length_s(self, recording: Path) -> float | None:
        """Length of the recording in seconds, as far as it is known before it is decoded. Raises AudioError."""

    async def run(self, job: StoredJob, recording: Path, ticket: Ticket, progress: JobProgress) -> JobResult:
        """Raises StenoError."""


@dataclass(slots=True)
class JobProgress:
    """How far an attempt is. `step` names what is being done, `part` is the share of it that is done."""

    step: str = ""
    part: float = 0.0
    audio_s: float | None = None
    """Length of the recording, once it is known."""
    reported: tuple[str, float] = ("", 0.0)

    def report(self, step: str, part: float) -> None:
        self.step, self.part = step, part


class JobWorker:
    """A `JobRunner`. Cancelling `run` stops all attempts, and queues their jobs again.

    Args:
        works: by kind.
        concurrent: max jobs that run at once.
        urls: fetches recordings; None = URLs are not supported.
        hours_per_day: max hours of audio of an owner within 24 hours; 0 = unlimited.
        pauses_s: see `PAUSES_S`.
    """

    def __init__(
        self,
        store: JobStore,
        engine: Engine,
        works: Mapping[str, JobWork],
        *,
        concurrent: int,
        urls: UrlFetcher | None = None,
        hours_per_day: float = 0.0,
        ended: Callable[[], None] = lambda: None,
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._store = store
        self._engine = engine
        self._works = works
        self._concurrent = concurrent
        self._urls = urls
        self._hours_per_day = hours_per_day
        self._ended = ended
        self._pauses_s = pauses_s
        self._attempts: dict[str, asyncio.Task[JobResult]] = {}
        self._progress: dict[str, JobProgress] = {}
        self._alarm = Alarm(IDLE_S)

    def wake(self) -> None:
        self._alarm.ring()

    def stop(self, job: str) -> None:
        if job in self._attempts:
            self._attempts[job].cancel()
        self._ended()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report(), name="job progress")
            for n in range(self._concurrent):
                group.create_task(self._work(), name=f"job worker {n}")

    async def _work(self) -> None:
        while not self._engine.draining:
            job = await self._next()
            if job is not None:
                with request_ids.within(job.id):
                    await self._attempt(job)

    async def _next(self) -> StoredJob | None:
        """The next job; None after a while without one."""
        self._alarm.clear()
        try:
            job = await self._store.claim()
            due = await self._store.next_due() if job is None else None
        except JobStorageError as error:
            logger.error("{}", error.message)
            job, due = None, None
        if job is None:
            await self._alarm.wait(due)
        return job

    async def _attempt(self, job: StoredJob) -> None:
        logger.info("attempt {} at {}", job.attempts, job.kind)
        progress = self._progress[job.id] = JobProgress()
        attempt = self._attempts[job.id] = asyncio.create_task(self._run(job, progress), name=f"job {job.id}")
        try:
            await asyncio.wait([attempt])
        finally:
            attempt.cancel()  # no-op if it has ended
            await asyncio.wait([attempt])
            del self._attempts[job.id], self._progress[job.id]
            await asyncio.shield(asyncio.ensure_future(self._settle(job, attempt, progress)))

    async def _settle(self, job: StoredJob, attempt: asyncio.Task[JobResult], progress: JobProgress) -> None:
        try:
            if progress.audio_s is not None:
                await self._store.set_audio_s(job.id, progress.audio_s)
            await self._store_outcome(job, attempt)
        except JobStorageError as error:
            logger.error("its outcome cannot be stored, so it is done again: {}", error.message)
            await self._requeue_somehow(job)
        self._ended()

    async def _store_outcome(self, job: StoredJob, attempt: asyncio.Task[JobResult]) -> None:
        if attempt.cancelled():  # by `stop`, after which the job is not running; or because the server stops
            await self._store.requeue(job.id, counts=False)
            return
        error = attempt.exception()
        if error is None:
            if await self._store.succeed(job.id, attempt.result()):
                logger.info("done")
        elif isinstance(error, DrainingError):
            await self._store.requeue(job.id, counts=False)
        elif _may_pass(error) and job.attempts < MAX_ATTEMPTS:
            pause_s = self._pauses_s[min(job.attempts, len(self._pauses_s)) - 1]
            logger.warning("{}; next attempt in {:g} s", error, pause_s)
            await self._store.requeue(job.id, not_before=time.time() + pause_s)
        else:
            failure = _failure_of(error)
            logger.warning("failed: {}", failure.message)
            await self._store.fail(job.id, failure)

    async def _requeue_somehow(self, job: StoredJob) -> None:
        """Keep trying. Until then the store has the job as running; the next start would queue it as well."""
        while True:
            await asyncio.sleep(self._pauses_s[0])
            try:
                await self._store.requeue(job.id)
                return
            except JobStorageError:
                continue

    async def _run(self, job: StoredJob, progress: JobProgress) -> JobResult:
        if job.attempts > MAX_ATTEMPTS:
            raise StenoError(f"the job was interrupted {MAX_ATTEMPTS} times")
        work = self._works.get(job.kind)
        if work is None:
            raise UnsupportedFeatureError(f"jobs of the kind {job.kind!r} are not supported", param="kind")
        recording = await self._recording(job)
        progress.audio_s = await work.length_s(recording)
        await self._check_quota(job, progress.audio_s)
        pieces = PieceResults(self._store, job.id)
        attributes: dict[str, tracing.Attribute] = {"steno.job_id": job.id, "steno.attempt": job.attempts}
        with tracing.recorded(f"job {job.kind}", attributes):
            async with self._engine.admit(Priority.BULK, known=pieces) as ticket:
                result = await work.run(job, recording, ticket, progress)
        if pieces.found:
            logger.info("{} results were known from an earlier attempt", pieces.found)
        return result

    async def _recording(self, job: StoredJob) -> Path:
        path = self._store.recording_of(job.id)
        if job.audio_url is None or await asyncio.to_thread(path.exists):
            return path
        if self._urls is None:
            raise UnsupportedFeatureError("recordings at URLs are not supported by this server", param="audio_url")
        unfinished = path.with_suffix(".part")
        with unfinished.open("wb") as file:  # opening a local file is quick
            await self._urls.fetch(job.audio_url, file)
        await asyncio.to_thread(unfinished.replace, path)
        return path

    async def _check_quota(self, job: StoredJob, audio_s: float | None) -> None:
        """Raises JobQuotaError if the recording exceeds the owner's hours of audio."""
        if audio_s is None:
            return
        await self._store.set_audio_s(job.id, audio_s)
        if not self._hours_per_day:
            return
        others_s = await self._store.audio_s_since(job.owner, time.time() - DAY_S, besides=job.id)
        if others_s + audio_s > self._hours_per_day * 3600:
            used, own = others_s / 3600, audio_s / 3600
            text = f"the recording has {own:.2f} h, and {used:.2f} of {self._hours_per_day:g} h are used in 24 h"
            raise JobQuotaError(text)

    async def _report(self) -> None:
        """Store the progress of running jobs, once a second."""
        while True:
            await asyncio.sleep(REPORT_S)
            for job, progress in list(self._progress.items()):
                now = (progress.step, progress.part)
                if now != progress.reported:
                    progress.reported = now
                    try:
                        await self._store.report(job, *now)
                    except JobStorageError as error:
                        logger.warning("job {}: {}", job, error.message)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, RetryableError | DeadlineExceededError)


def _failure_of(error: BaseException) -> JobFailure:
    if isinstance(error, StenoError):
        return JobFailure.of(error)
    logger.opt(exception=error).error("a job failed by an unhandled error")
    return JobFailure(StenoError.code, "the server failed on this job; its log has the reason")
