"""The schedulers: they run jobs on a backend, one for each kind of backend.

Both take jobs from the queue, deliver results, and survive every failure of a job. An abandoned job (cancelled, timed
out) is aborted at once in an `AsyncBackend` and released before the next step of a `StepBackend`. Some capacity is
reserved for live work, so that a live stream never waits for an upload to finish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from loguru import logger

from steno.backends.base import Finished, Recognize, StepBackend
from steno.engine.broken_device import broken_device
from steno.engine.crashes import call_with_retries
from steno.engine.job_trace import begin_step
from steno.engine.queue import Job, PriorityInferQueue, Result
from steno.engine.telemetry import Telemetry
from steno.errors import BackendError, DrainingError, StenoError
from steno.request_ids import about
from steno.types import Hypothesis

T = TypeVar("T")
RunInThread: TypeAlias = Callable[[Callable[[], T]], Awaitable[T]]


class Scheduler(Protocol):
    @property
    def capacity(self) -> int:
        """How many upload jobs can run at once."""

    @property
    def running(self) -> int:
        """How many jobs run now."""

    @property
    def busy_since(self) -> float | None:
        """When the step or call that runs longest now began, on the event loop's clock; None if none runs."""

    def wake(self) -> None:
        """A job was queued."""

    def abandon(self, job: Job) -> None:
        """Abort `job`: its result is no longer awaited. No-op if it is not running."""

    def forget(self, utterance: str) -> None:
        """Drop what the backend caches of this live utterance."""

    async def run(self) -> None:
        """Run jobs until cancelled."""


class HasWorkers(Protocol):
    """An `AsyncBackend` or an `Aligner`."""

    @property
    def workers(self) -> int: ...

    @property
    def live_workers(self) -> int: ...


class AsyncScheduler:
    """A task for each running job, at most `workers` of them, and `live_workers` more for live work.

    Args:
        call: runs a job's work; cancelling it aborts the work.
        workers_reserved: how many workers are reserved for live work now; uploads always have one.
        forget: drops the cache of a live utterance.
    """

    def __init__(
        self,
        backend: HasWorkers,
        call: Callable[[Any], Awaitable[Result]],
        queue: PriorityInferQueue,
        telemetry: Telemetry,
        workers_reserved: Callable[[], int] = lambda: 0,
        forget: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._backend = backend
        self._call = call
        self._workers_reserved = workers_reserved
        self._forget = forget
        self._queue = queue
        self._telemetry = telemetry
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._wakeup = asyncio.Event()

    @property
    def capacity(self) -> int:
        return self._backend.workers

    @property
    def running(self) -> int:
        return len(self._tasks)

    @property
    def busy_since(self) -> float | None:
        return min((job.started for job in self._tasks if job.started is not None), default=None)

    def wake(self) -> None:
        self._wakeup.set()

    def abandon(self, job: Job) -> None:
        task = self._tasks.get(job)
        if task is not None:
            task.cancel()

    def forget(self, utterance: str) -> None:
        self._forget(utterance)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wakeup.wait()
                self._wakeup.clear()
                while (job := self._next()) is not None:
                    task = group.create_task(self._run_job(job), name="job")
                    self._tasks[job] = task
                    task.add_done_callback(partial(self._finished, job))

    def _next(self) -> Job | None:
        loop = asyncio.get_running_loop()
        uploads = sum(not job.priority.is_live for job in self._tasks)
        if len(self._tasks) >= self._backend.workers + self._backend.live_workers:
            return None
        upload_workers = max(self._backend.workers - self._workers_reserved(), 1)
        return self._queue.pop(loop.time(), live_only=uploads >= upload_workers)

    def _finished(self, job: Job, _: asyncio.Task[None]) -> None:
        del self._tasks[job]
        self._queue.done(job)
        self.wake()

    async def _run_job(self, job: Job) -> None:
        _begin(job, self._telemetry)
        began = asyncio.get_running_loop().time()
        try:
            with about([job.request_id]):
                outcome = await self._outcome_of(job)
        except asyncio.CancelledError:
            if job.trace is not None:
                job.trace.step_ended(self._backend, 1, "cancelled")
            job.settle(DrainingError())  # if the job was not abandoned, the server is shutting down
            return
        self._telemetry.stepped(1, asyncio.get_running_loop().time() - began)
        if job.trace is not None:
            job.trace.step_ended(self._backend, 1, outcome.code if isinstance(outcome, StenoError) else None)
        _deliver(job, outcome, self._telemetry)

    async def _outcome_of(self, job: Job) -> Result | StenoError:
        try:
            return await call_with_retries(self._call, job)
        except Exception as error:  # noqa: BLE001 - the worker's boundary: logged, and delivered
            return _translate(error)


class StepScheduler:
    """One loop that admits, releases and steps; the backend's calls run in one thread.

    Args:
        run_in_thread: runs a function in the backend's thread, which also runs `load` and `unload`.
        on_broken: called, before any job is settled, when the device failed for good; see `broken_device`.
    """

    def __init__(
        self,
        backend: StepBackend,
        queue: PriorityInferQueue,
        telemetry: Telemetry,
        run_in_thread: RunInThread[list[Finished]],
        on_broken: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._backend = backend
        self._queue = queue
        self._telemetry = telemetry
        self._run_in_thread = run_in_thread
        self._on_broken = on_broken
        self._broken: str | None = None
        self._step_began: float | None = None
        self._reserved = reserved_slots(backend.slots)
        self._jobs: dict[Recognize, Job] = {}
        self._abandoned: list[Recognize] = []
        self._forgotten: list[str] = []
        self._wakeup = asyncio.Event()

    @property
    def capacity(self) -> int:
        return self._backend.slots - self._reserved

    @property
    def running(self) -> int:
        return len(self._jobs)

    @property
    def busy_since(self) -> float | None:
        return self._step_began

    def wake(self) -> None:
        self._wakeup.set()

    def abandon(self, job: Job) -> None:
        if isinstance(job.work, Recognize) and self._jobs.get(job.work) is job:
            self._abandoned.append(job.work)
            self.wake()

    def forget(self, utterance: str) -> None:
        self._forgotten.append(utterance)
        self.wake()

    async def run(self) -> None:
        try:
            while True:
                await self._run_once()
        finally:
            for job in self._jobs.values():
                if job.trace is not None:
                    job.trace.step_ended(self._backend, len(self._jobs), "cancelled")
                job.settle(DrainingError())

    async def _run_once(self) -> None:
        released = self._take_abandoned()
        forgotten, self._forgotten = self._forgotten, []
        admitted = self._take_next()
        if not (self._jobs or released or forgotten):
            await self._wakeup.wait()
            self._wakeup.clear()
            return
        began = self._step_began = asyncio.get_running_loop().time()
        batch = len(self._jobs)
        try:
            done = await self._release_and_step(released, forgotten, admitted)
        finally:
            self._step_began = None
        if self._broken is not None:
            self._on_broken(self._broken)
            self._broken = None
        for finished in done:
            self._finish(finished, batch)
        if batch:
            self._telemetry.stepped(batch, asyncio.get_running_loop().time() - began)

    def _take_abandoned(self) -> list[Recognize]:
        # A job may finish in the step during which it was abandoned; the backend then has nothing to release.
        released = [work for work in self._abandoned if work in self._jobs]
        self._abandoned.clear()
        for work in released:
            job = self._jobs.pop(work)
            self._queue.done(job)
            if job.trace is not None:
                job.trace.step_ended(self._backend, len(self._jobs) + 1, "cancelled")
        return released

    def _take_next(self) -> list[Recognize]:
        now = asyncio.get_running_loop().time()
        admitted: list[Recognize] = []
        while len(self._jobs) < self._backend.slots:
            uploads = sum(not job.priority.is_live for job in self._jobs.values())
            job = self._queue.pop(now, live_only=uploads >= self.capacity)
            if job is None:
                break
            _begin(job, self._telemetry)
            assert isinstance(job.work, Recognize)
            self._jobs[job.work] = job
            admitted.append(job.work)
        return admitted

    async def _release_and_step(
        self, released: Sequence[Recognize], forgotten: Sequence[str], admitted: Sequence[Recognize]
    ) -> list[Finished]:
        admitted_before = list(self._jobs)

        def release_and_step() -> list[Finished]:
            self._call_each(self._backend.release, released)
            self._call_each(self._backend.forget, forgotten)
            return self._in_thread(admitted, admitted_before)

        with about(job.request_id for job in self._jobs.values()):
            return await self._run_in_thread(release_and_step)

    def _in_thread(self, admitted: Sequence[Recognize], admitted_before: Sequence[Recognize]) -> list[Finished]:
        """The worker's boundary: the backend's errors are logged, and delivered to the jobs that failed."""
        refused: list[Finished] = []
        for work in admitted:
            try:
                self._backend.admit(work)
            except Exception as error:  # noqa: BLE001
                refused.append(Finished(work, _translate(error)))
        if len(refused) == len(admitted_before):
            return refused
        try:
            return [*refused, *self._backend.step()]
        except Exception as error:  # noqa: BLE001
            failure = _translate(error)
            self._broken = broken_device(error)
            self._call_each(self._backend.release, admitted_before)
            return [Finished(work, failure.fresh()) for work in admitted_before]

    def _call_each(self, of: Callable[[T], None], what: Sequence[T]) -> None:
        for each in what:
            try:
                of(each)
            except Exception as error:  # noqa: BLE001
                logger.opt(exception=error).error("the backend failed to release work: {}", error)

    def _finish(self, finished: Finished, batch: int) -> None:
        job = self._jobs.pop(finished.work, None)
        if job is not None:
            self._queue.done(job)
            if job.trace is not None:
                failed = finished.outcome.code if isinstance(finished.outcome, StenoError) else None
                job.trace.step_ended(self._backend, batch, failed)
            _deliver(job, finished.outcome, self._telemetry)


def reserved_slots(slots: int) -> int:
    """How many of a `StepBackend`'s slots uploads leave to live work."""
    return max(1, slots // 4) if slots > 1 else 0


def _begin(job: Job, telemetry: Telemetry) -> None:
    job.started = asyncio.get_running_loop().time()
    telemetry.waited(job.priority, job.started - job.submitted)
    if job.trace is not None:
        begin_step(job.trace)
    if job.on_start is not None:
        job.on_start()


def _deliver(job: Job, outcome: Result | StenoError, telemetry: Telemetry) -> None:
    if job.pending and not isinstance(outcome, StenoError) and job.started is not None:
        telemetry.served(job.audio_s, asyncio.get_running_loop().time() - job.started)
        if isinstance(outcome, Hypothesis) and outcome.repetition and not job.is_partial:
            telemetry.repeated()
    job.settle(outcome)


def _translate(error: Exception) -> StenoError:
    if isinstance(error, StenoError):
        return error
    logger.opt(exception=error).error("the backend failed: {}", error)
    return BackendError("the recogniser failed on this audio; the server's log has the reason")
