"""The engine as everything above sees it: `admit` lets a request in, its `Ticket` runs work.

Refusal happens at `admit`, before any audio is read; a request that is in is never refused halfway for want of a place.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from typing import TypeVar

from steno.backends.aligners.base import Align, Aligner
from steno.backends.base import AsyncBackend, Backend, Capabilities, Progress, StepBackend
from steno.engine.admission import AdmissionControl, AdmissionLimits
from steno.engine.lane import Lane
from steno.engine.lifecycle import Lifecycle, LifecycleState
from steno.engine.live_load import LiveLoad
from steno.engine.queue import Job, Priority, PriorityInferQueue, Work
from steno.engine.scheduler import AsyncScheduler, RunInThread, Scheduler, StepScheduler
from steno.engine.telemetry import AlignerTelemetry, NullTelemetry, Telemetry
from steno.engine.ticket import Ticket
from steno.errors import BackendUnavailableError, DeadlineExceededError, DrainingError, ModelLoadError, StenoError

T = TypeVar("T")

JOBS_PER_TICKET = 4
"""Pieces that one request may have in the queue; with `max_queue` this bounds the queue."""


class Engine:
    """A recogniser and, where there is one, an aligner: each with its queue, its scheduler and its lifecycle.

    Use it as `async with engine: …`; leaving it ends all work and unloads the models.

    Args:
        aligner: times the words of the recogniser's texts; None = word times are the recogniser's own, or there are
            none.
        run_in_thread: where a `StepBackend` runs; by default one thread of its own. Tests in virtual time give another.
    """

    def __init__(
        self,
        backend: AsyncBackend | StepBackend,
        limits: AdmissionLimits,
        telemetry: Telemetry | None = None,
        run_in_thread: Callable[[Callable[[], object]], Awaitable[object]] | None = None,
        aligner: Aligner | None = None,
    ) -> None:
        self._backend = backend
        self._aligner = aligner
        self._limits = limits
        self._telemetry = telemetry or NullTelemetry()
        self._thread: ThreadPoolExecutor | None = None
        self._run_in_thread: RunInThread[object] = run_in_thread or self._run_in_own_thread
        self._live_load = LiveLoad()
        self._recognition = self._recognition_lane()
        self._alignment = self._alignment_lane(aligner) if aligner is not None else None
        self._tickets: set[Ticket] = set()
        self._gate = AdmissionControl(
            limits,
            self._telemetry,
            places=lambda: self._recognition.scheduler.places,
            live_room=lambda: self.live_room,
            live_wait_s=self._live_wait_s,
        )
        self._stopped = False
        self._kept = ExitStack()
        self._is_preloaded = False

    async def __aenter__(self) -> Engine:
        for lane in self._lanes:
            lane.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        for lane in self._lanes:
            await lane.stop_working()
        self._kept.close()
        self.cut_off()
        for lane in self._lanes:
            await lane.lifecycle.close()
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    @property
    def backend(self) -> Backend:
        return self._backend

    @property
    def capabilities(self) -> Capabilities:
        return self._backend.capabilities

    @property
    def aligner(self) -> Aligner | None:
        return self._aligner

    def times_words_of(self, language: str | None) -> bool:
        """Whether words of a text in `language` (None = not known yet) get real times: the recogniser's own, or an
        aligner's."""
        return self.capabilities.word_times or self.aligns(language)

    def aligns(self, language: str | None) -> bool:
        """Whether there is an aligner that speaks `language` (None = not known)."""
        return self._aligner is not None and (language is None or language in self._aligner.languages)

    @property
    def model_state(self) -> LifecycleState:
        return self._recognition.lifecycle.state

    @property
    def aligner_state(self) -> LifecycleState | None:
        """None where there is no aligner."""
        return self._alignment.lifecycle.state if self._alignment is not None else None

    @property
    def has_been_loaded(self) -> bool:
        """Whether the model has ever been in memory: that it can be loaded is known then."""
        return self._recognition.lifecycle.loads > 0

    @property
    def load_failure(self) -> str | None:
        """Why the model could not be loaded the last time; None where it could."""
        return self._recognition.lifecycle.failure

    @property
    def load_progress(self) -> tuple[float, str]:
        return self._recognition.lifecycle.progress

    @property
    def worker_alive(self) -> bool:
        return all(lane.is_alive for lane in self._lanes)

    @property
    def active(self) -> int:
        """Requests and sessions that are in."""
        return self._gate.inside

    @property
    def running(self) -> int:
        """Jobs that the backend works on now."""
        return self._recognition.scheduler.running

    @property
    def parallelism(self) -> int:
        """How many pieces of one upload are worth having under way at once."""
        return min(self._recognition.scheduler.places, JOBS_PER_TICKET)

    @property
    def live_room(self) -> int | None:
        """How many live sessions fit, by what open ones cost; None = unknown, or the limits leave it to `max_live`."""
        if not self._limits.live_by_load:
            return None
        backend = self._backend
        shares_steps = isinstance(backend, StepBackend)
        at_once = backend.slots if isinstance(backend, StepBackend) else max(backend.workers, backend.live_workers)
        return self._live_load.room(asyncio.get_running_loop().time(), at_once, shares_steps=shares_steps)

    def queue_depth(self) -> dict[Priority, int]:
        return self._recognition.queue.depth()

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
        """Load the model now, and keep it loaded until the engine ends: idleness does not unload it any more.

        Raises:
            ModelLoadError: it did not load.
        """
        if not self._is_preloaded:
            self._is_preloaded = True
            self._kept.enter_context(self._recognition.lifecycle.lease())
        await self._recognition.lifecycle.ready()

    def check_room(self, priority: Priority = Priority.INTERACTIVE, client: str = "") -> None:
        """Raises what `admit` would raise now; takes nothing."""
        self._gate.check(priority, client)

    @asynccontextmanager
    async def admit(
        self, priority: Priority = Priority.INTERACTIVE, timeout_s: float | None = None, client: str = ""
    ) -> AsyncIterator[Ticket]:
        """A place for one request (`timeout_s`, at most and by default the limits' `request_timeout_s`) or session.

        Args:
            client: its address: a place is kept for a client that was told when to come back.

        Raises:
            OverloadedError: every place is taken; `retry_after_s` is a moment of the client's own.
            DrainingError: the server is shutting down.
        """
        limit_s = min(timeout_s or self._limits.request_timeout_s, self._limits.request_timeout_s)
        deadline = None if priority.is_live else asyncio.get_running_loop().time() + limit_s
        with self._gate.enter(priority, client), self._recognition.lifecycle.lease():
            ticket = Ticket(self, priority, deadline, self._limits.request_timeout_s)
            self._tickets.add(ticket)
            clock = asyncio.get_running_loop().time
            try:
                with self._live_load.session(clock) if priority.is_live else nullcontext():
                    yield ticket
            finally:
                self._tickets.discard(ticket)
                ticket.close()
                for lane in self._lanes:
                    lane.scheduler.wake()  # uploads may have a worker back that was kept for this session

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job:
        """Enqueue `work`; for `Ticket`. The job's future ends with the result, an error, or the deadline."""
        loop = asyncio.get_running_loop()
        if self._stopped:
            raise DrainingError()
        lane = self._lane_of(work)
        job = Job(work, priority, loop.time(), deadline, loop.create_future())
        timer = loop.call_at(deadline, self._expire, job)
        job.future.add_done_callback(lambda _: self._settled(job, lane, timer))
        lane.put(job)
        return job

    async def ready(self, deadline: float, work: Work | None = None) -> None:
        """Wait until `deadline` for the model that does `work`; for `Ticket`."""
        lifecycle = self._lane_of(work).lifecycle
        try:
            async with asyncio.timeout_at(deadline):
                await lifecycle.ready()
        except TimeoutError:
            raise _still_loading(lifecycle) from None

    def lease_aligner(self) -> AbstractContextManager[None]:
        """For `Ticket`: held from its first alignment, or its wish for one, to its end."""
        return self._alignment.lifecycle.lease() if self._alignment is not None else nullcontext()

    def prepare_aligner(self) -> None:
        """Begin to load the aligner if it is not loaded; for `Ticket`.

        Raises:
            ModelLoadError: it is not ready yet, or could not be loaded a moment ago.
        """
        if self._alignment is None:
            return
        lifecycle = self._alignment.lifecycle
        lifecycle.begin_loading()
        if lifecycle.state is not LifecycleState.READY:
            raise _still_loading(lifecycle)

    def forget(self, utterance: str) -> None:
        """Let the backend drop what it keeps of a live utterance, once nothing of it runs any more."""
        self._recognition.scheduler.forget(utterance)

    @property
    def _lanes(self) -> list[Lane]:
        return [lane for lane in (self._recognition, self._alignment) if lane is not None]

    def _lane_of(self, work: Work | None) -> Lane:
        if not isinstance(work, Align):
            return self._recognition
        if self._alignment is None:
            raise BackendUnavailableError("this server has no aligner; set ALIGNER")
        return self._alignment

    def _workers_kept(self) -> int:
        return self._live_load.workers_kept(asyncio.get_running_loop().time())

    def _live_wait_s(self) -> float:
        return self._recognition.queue.longest_live_wait_s(asyncio.get_running_loop().time())

    def _expire(self, job: Job) -> None:
        what = "the times of its words were found" if isinstance(job.work, Align) else "its audio was recognised"
        job.settle(DeadlineExceededError(f"the request's time was up before {what}"))

    def _settled(self, job: Job, lane: Lane, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        lane.drop(job)
        if job.priority.is_live and job.started is not None:
            now = asyncio.get_running_loop().time()
            self._live_load.worked(now, now - job.started)
        error = None if job.future.cancelled() else job.future.exception()
        if isinstance(error, StenoError):
            self._telemetry.failed(error.code)

    def _recognition_lane(self) -> Lane:
        backend = self._backend
        queue = self._queue(backend_places(backend))
        scheduler: Scheduler
        if isinstance(backend, StepBackend):
            scheduler = StepScheduler(backend, queue, self._telemetry, self._run_in_thread)  # type: ignore[arg-type]
        else:
            scheduler = AsyncScheduler(
                backend, backend.recognize, queue, self._telemetry, self._workers_kept, backend.forget
            )
        idle_s = self._limits.idle_timeout_s
        lifecycle = Lifecycle(backend.model_id, self._load_backend, self._unload_backend, idle_s)
        return Lane("recognition", queue, scheduler, lifecycle)

    def _alignment_lane(self, aligner: Aligner) -> Lane:
        queue = self._queue(aligner.workers + aligner.live_workers)
        scheduler = AsyncScheduler(aligner, aligner.align, queue, AlignerTelemetry(self._telemetry), self._workers_kept)
        lifecycle = Lifecycle(aligner.model_id, aligner.load, aligner.unload, self._limits.idle_timeout_s)
        return Lane("alignment", queue, scheduler, lifecycle)

    def _queue(self, places: int) -> PriorityInferQueue:
        return PriorityInferQueue((self._limits.max_waiting + self._limits.max_live + places) * JOBS_PER_TICKET)

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


def _still_loading(lifecycle: Lifecycle) -> ModelLoadError:
    done, what = lifecycle.progress
    return ModelLoadError(f"{lifecycle.name} is still loading ({done:.0%}, {what})", retry_after_s=10)


def backend_places(backend: AsyncBackend | StepBackend) -> int:
    """Work that runs at once."""
    return backend.slots if isinstance(backend, StepBackend) else backend.workers + backend.live_workers
