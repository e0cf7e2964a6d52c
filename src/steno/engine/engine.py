"""The engine as everything above sees it: `admit` lets a request in, its `Ticket` runs work.

Refusal happens at `admit`, before any audio is read; a request that is in is never refused halfway for want of a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TypeVar

from steno.backends.base import (
    Align,
    Aligner,
    AsyncBackend,
    Backend,
    Capabilities,
    HasAligner,
    Progress,
    StepBackend,
    Work,
)
from steno.engine.gate import Gate, Limits
from steno.engine.lifecycle import Lifecycle, State
from steno.engine.queue import Job, Priority, PriorityInferQueue
from steno.engine.scheduler import AsyncScheduler, RunInThread, Scheduler, StepScheduler
from steno.engine.telemetry import Silent, Telemetry
from steno.engine.ticket import Ticket
from steno.errors import DeadlineExceededError, DrainingError, ModelLoadError, OverloadedError, StenoError

T = TypeVar("T")

JOBS_PER_TICKET = 4
"""Pieces that one request may have in the queue; with `max_queue` this bounds the queue."""


class Engine:
    """One backend, its queue, its scheduler and its lifecycle.

    Use it as `async with engine: …`; leaving it ends all work and unloads the model.

    Args:
        run_in_thread: where a `StepBackend` runs; by default one thread of its own. Tests in virtual time give another.
    """

    def __init__(
        self,
        backend: AsyncBackend | StepBackend,
        limits: Limits,
        telemetry: Telemetry | None = None,
        run_in_thread: Callable[[Callable[[], object]], Awaitable[object]] | None = None,
    ) -> None:
        self._backend = backend
        self._limits = limits
        self._telemetry = telemetry or Silent()
        self._queue = PriorityInferQueue(
            (limits.max_waiting + limits.max_live + backend_places(backend)) * JOBS_PER_TICKET
        )
        self._thread: ThreadPoolExecutor | None = None
        self._run_in_thread: RunInThread[object] = run_in_thread or self._run_in_own_thread
        self._scheduler = self._make_scheduler()
        self._lifecycle = Lifecycle(backend.model_id, self._load_backend, self._unload_backend, limits.idle_timeout_s)
        aligner = backend.aligner if isinstance(backend, HasAligner) else None
        self._aligning = self._aligner_lifecycle(aligner) if aligner is not None else None
        self._worker: asyncio.Task[None] | None = None
        self._tickets: set[Ticket] = set()
        self._gate = Gate(limits, lambda: self._scheduler.places, self._live_wait_s, self._telemetry)
        self._stopped = False

    async def __aenter__(self) -> Engine:
        self._worker = asyncio.create_task(self._scheduler.run(), name="scheduler")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.wait([self._worker])
        self.cut_off()
        await self._lifecycle.close()
        if self._aligning is not None:
            await self._aligning.close()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    @property
    def backend(self) -> Backend:
        return self._backend

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    @property
    def model_state(self) -> State:
        return self._lifecycle.state

    @property
    def aligner_state(self) -> State | None:
        """Of the aligner's own model; None where it has none."""
        return self._aligning.state if self._aligning is not None else None

    @property
    def has_been_loaded(self) -> bool:
        """Whether the model has ever been in memory: that it can be loaded is known then."""
        return self._lifecycle.loads > 0

    @property
    def load_failure(self) -> str | None:
        """Why the model could not be loaded the last time; None where it could."""
        return self._lifecycle.failure

    @property
    def load_progress(self) -> tuple[float, str]:
        return self._lifecycle.progress

    @property
    def worker_alive(self) -> bool:
        return self._worker is not None and not self._worker.done()

    @property
    def active(self) -> int:
        """Requests and sessions that are in."""
        return self._gate.inside

    @property
    def running(self) -> int:
        """Jobs that the backend works on now."""
        return self._scheduler.running

    @property
    def parallelism(self) -> int:
        """How many pieces of one upload are worth having under way at once."""
        return min(self._scheduler.places, JOBS_PER_TICKET)

    def queue_depth(self) -> dict[Priority, int]:
        return self._queue.depth()

    def drain(self) -> None:
        """Let nothing new in. What is in goes on."""
        self._gate.drain()

    def cut_off(self) -> None:
        """End all work now, and let none begin: whoever waits for some gets a `DrainingError`."""
        self._stopped = True
        self.drain()
        for ticket in list(self._tickets):
            ticket.cut_off()

    @property
    def draining(self) -> bool:
        return self._gate.is_draining

    async def shutting_down(self) -> None:
        """Return once `drain` was called: sessions, which have no end of their own, come to one."""
        await self._gate.closed()

    async def idle(self) -> None:
        """Return once nothing is in."""
        await self._gate.idle()

    async def preload(self) -> None:
        """Load the model now.

        Raises:
            ModelLoadError: it did not load.
        """
        await self._lifecycle.ready()

    @asynccontextmanager
    async def admit(
        self, priority: Priority = Priority.INTERACTIVE, timeout_s: float | None = None
    ) -> AsyncIterator[Ticket]:
        """A place for one request (`timeout_s`, at most and by default the limits' `request_timeout_s`) or session.

        Raises:
            OverloadedError: every place is taken; `retry_after_s` from the measured service rate.
            DrainingError: the server is shutting down.
        """
        limit_s = min(timeout_s or self._limits.request_timeout_s, self._limits.request_timeout_s)
        deadline = None if priority.is_live else asyncio.get_running_loop().time() + limit_s
        with self._gate.enter(priority), self._lifecycle.lease():
            ticket = Ticket(self, priority, deadline, self._limits.request_timeout_s)
            self._tickets.add(ticket)
            try:
                yield ticket
            finally:
                self._tickets.discard(ticket)
                ticket.close()

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job:
        """Enqueue `work`; for `Ticket`. The job's future ends with the result, an error, or the deadline."""
        loop = asyncio.get_running_loop()
        if self._stopped or not self.worker_alive:
            raise DrainingError()
        job = Job(work, priority, loop.time(), deadline, loop.create_future())
        timer = loop.call_at(deadline, self._expire, job)
        job.future.add_done_callback(lambda _: self._settled(job, timer))
        try:
            self._queue.put(job)
        except OverloadedError:
            job.future.cancel()
            raise
        self._scheduler.wake()
        return job

    async def ready(self, deadline: float, work: Work | None = None) -> None:
        """Wait until `deadline` for the model that does `work`; for `Ticket`."""
        lifecycle = self._lifecycle
        if isinstance(work, Align) and self._aligning is not None:
            lifecycle = self._aligning
        try:
            async with asyncio.timeout_at(deadline):
                await lifecycle.ready()
        except TimeoutError:
            done, what = lifecycle.progress
            message = f"{lifecycle.name} is still loading ({done:.0%}, {what})"
            raise ModelLoadError(message, retry_after_s=10) from None

    def lease_aligner(self) -> AbstractContextManager[None]:
        """For `Ticket`: held from its first alignment to its end."""
        return self._aligning.lease() if self._aligning is not None else nullcontext()

    def forget(self, utterance: str) -> None:
        """Let the backend drop what it keeps of a live utterance, once nothing of it runs any more."""
        self._scheduler.forget(utterance)

    def _live_wait_s(self) -> float:
        return self._queue.longest_live_wait_s(asyncio.get_running_loop().time())

    def _expire(self, job: Job) -> None:
        job.settle(DeadlineExceededError("the request's time was up before its audio was recognised"))

    def _settled(self, job: Job, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._queue.discard(job)
        self._scheduler.abandon(job)
        error = None if job.future.cancelled() else job.future.exception()
        if isinstance(error, StenoError):
            self._telemetry.failed(error.code)

    def _make_scheduler(self) -> Scheduler:
        if isinstance(self._backend, StepBackend):
            return StepScheduler(self._backend, self._queue, self._telemetry, self._run_in_thread)  # type: ignore[arg-type]
        return AsyncScheduler(self._backend, self._queue, self._telemetry)

    def _aligner_lifecycle(self, aligner: Aligner) -> Lifecycle:
        """It loads in a thread of its own, so that recognition goes on meanwhile."""

        async def load(progress: Progress) -> None:
            def report(done: float, what: str) -> None:
                if self._stopped:  # a thread cannot be cancelled; nobody waits for it, but the process would
                    raise DrainingError
                progress(done, what)

            await asyncio.to_thread(aligner.load, report)

        async def unload() -> None:
            await self._run_in_thread(aligner.unload)

        return Lifecycle(aligner.model_id, load, unload, self._limits.idle_timeout_s)

    async def _load_backend(self, progress: Progress) -> None:
        backend = self._backend
        if isinstance(backend, StepBackend):
            await self._run_in_thread(lambda: backend.load(progress))
        else:
            await backend.load(progress)

    async def _unload_backend(self) -> None:
        backend = self._backend
        if isinstance(backend, StepBackend):
            await self._run_in_thread(backend.unload)
        else:
            await backend.unload()

    async def _run_in_own_thread(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._backend.name)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def backend_places(backend: AsyncBackend | StepBackend) -> int:
    """Work that runs at once."""
    return backend.slots if isinstance(backend, StepBackend) else backend.workers + backend.live_workers
