"""The engine as everything above sees it: `admit` lets a request in, its `Ticket` runs work.

Requests are refused at `admit`, before any audio is read. An admitted request is never refused later for lack of
capacity.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext

from steno.backends.aligners.base import Align, Aligner
from steno.backends.base import AsyncBackend, Backend, Capabilities, StepBackend
from steno.engine.admission import AdmissionControl, AdmissionLimits
from steno.engine.backend_thread import BackendThread
from steno.engine.lane import Lane, alignment_lane, recognition_lane
from steno.engine.lifecycle import Lifecycle, LifecycleState
from steno.engine.live_load import LiveLoad
from steno.engine.queue import JOBS_PER_TICKET, Job, Priority, Work
from steno.engine.telemetry import NullTelemetry, Telemetry
from steno.engine.ticket import KnownResults, Ticket
from steno.errors import BackendUnavailableError, DeadlineExceededError, DrainingError, ModelLoadError, StenoError

BULK_WORK_S = 3600.0
"""Time limit of one piece of a stored job: all other work goes before it."""


class Engine:
    """A recogniser and, where there is one, an aligner: each with its queue, its scheduler and its lifecycle.

    Use it as `async with engine: …`; leaving it ends all work and unloads the models.

    Args:
        aligner: times the words of the recogniser's texts; None = only the recogniser's own word times, if any.
        run_in_thread: runs a `StepBackend`'s calls; None = in a thread of its own. For tests in virtual time.
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
        self._thread = BackendThread(backend, run_in_thread)
        self._live_load = LiveLoad()
        self._recognition = recognition_lane(backend, self._thread, limits, self._telemetry, self._workers_reserved)
        self._alignment = (
            alignment_lane(aligner, limits, self._telemetry, self._workers_reserved) if aligner is not None else None
        )
        self._tickets: set[Ticket] = set()
        self._admission = AdmissionControl(
            limits,
            self._telemetry,
            capacity=lambda: self._recognition.scheduler.capacity,
            live_capacity=lambda: self.live_capacity,
            live_wait_s=self._live_wait_s,
        )
        self._stopped = False
        self._preload_lease = ExitStack()
        self._is_preloaded = False

    async def __aenter__(self) -> Engine:
        for lane in self._lanes:
            lane.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        for lane in self._lanes:
            await lane.stop_working()
        self._preload_lease.close()
        self.cut_off()
        for lane in self._lanes:
            await lane.lifecycle.close()
        self._thread.close()

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
        """Whether words of a text in `language` (None = not known yet) get measured times, from the recogniser or the
        aligner."""
        return self.capabilities.word_times or self.aligns(language)

    def aligns(self, language: str | None) -> bool:
        """Whether there is an aligner that supports `language` (None = not known)."""
        return self._aligner is not None and (language is None or language in self._aligner.languages)

    @property
    def model_state(self) -> LifecycleState:
        return self._recognition.lifecycle.state

    @property
    def aligner_state(self) -> LifecycleState | None:
        """None if there is no aligner."""
        return self._alignment.lifecycle.state if self._alignment is not None else None

    @property
    def has_been_loaded(self) -> bool:
        """Whether the model was ever loaded, which shows that it can be."""
        return self._recognition.lifecycle.loads > 0

    @property
    def load_failure(self) -> str | None:
        """Why the last load of the model failed; None if it did not."""
        return self._recognition.lifecycle.failure

    @property
    def load_progress(self) -> tuple[float, str]:
        return self._recognition.lifecycle.progress

    @property
    def worker_alive(self) -> bool:
        return all(lane.is_alive for lane in self._lanes)

    @property
    def active(self) -> int:
        """Requests and sessions that are admitted now."""
        return self._admission.admitted

    @property
    def running(self) -> int:
        """Jobs that the backend works on now."""
        return self._recognition.scheduler.running

    @property
    def parallelism(self) -> int:
        """How many pieces of one upload should be in progress at once."""
        return min(self._recognition.scheduler.capacity, JOBS_PER_TICKET)

    @property
    def live_capacity(self) -> int | None:
        """How many live sessions fit, by the measured load of open ones; None = unknown, or only `max_live` applies."""
        if not self._limits.live_by_load:
            return None
        backend = self._backend
        shares_steps = isinstance(backend, StepBackend)
        parallelism = backend.slots if isinstance(backend, StepBackend) else max(backend.workers, backend.live_workers)
        return self._live_load.capacity(asyncio.get_running_loop().time(), parallelism, shares_steps=shares_steps)

    def queue_depth(self) -> dict[Priority, int]:
        return self._recognition.queue.depth()

    def drain(self) -> None:
        """Refuse new requests. Admitted ones continue."""
        self._admission.drain()

    def cut_off(self) -> None:
        """Cancel all work and refuse further work: callers that wait for a result get a `DrainingError`."""
        self._stopped = True
        self.drain()
        for ticket in list(self._tickets):
            ticket.cut_off()

    @property
    def draining(self) -> bool:
        return self._admission.is_draining

    async def shutting_down(self) -> None:
        """Return once `drain` was called; live sessions then end."""
        await self._admission.closed()

    async def idle(self) -> None:
        """Return once no request and no session is admitted."""
        await self._admission.idle()

    async def preload(self) -> None:
        """Load the model now, and keep it loaded until the engine ends, idle or not.

        Raises:
            ModelLoadError: it did not load.
        """
        if not self._is_preloaded:
            self._is_preloaded = True
            self._preload_lease.enter_context(self._recognition.lifecycle.lease())
        await self._recognition.lifecycle.ready()

    def check_room(self, priority: Priority = Priority.INTERACTIVE, client: str = "") -> None:
        """Raises what `admit` would raise now, without admitting anything."""
        self._admission.check(priority, client)

    @asynccontextmanager
    async def admit(
        self,
        priority: Priority = Priority.INTERACTIVE,
        timeout_s: float | None = None,
        client: str = "",
        known: KnownResults | None = None,
    ) -> AsyncIterator[Ticket]:
        """Admit one request, session or stored job.

        Args:
            timeout_s: of a request; at most, and by default, the limits' `request_timeout_s`. A session or a stored
                job has none.
            client: its address. Capacity is reserved for a client that returns at its `retry_after_s`.
            known: results of an earlier attempt.

        Raises:
            OverloadedError: no capacity; `retry_after_s` is this client's own time to retry.
            DrainingError: the server is shutting down.
        """
        limit_s = min(timeout_s or self._limits.request_timeout_s, self._limits.request_timeout_s)
        is_request = priority is Priority.INTERACTIVE
        deadline = asyncio.get_running_loop().time() + limit_s if is_request else None
        work_timeout_s = BULK_WORK_S if priority is Priority.BULK else self._limits.request_timeout_s
        with self._admission.enter(priority, client), self._recognition.lifecycle.lease():
            ticket = Ticket(self, priority, deadline, work_timeout_s, known)
            self._tickets.add(ticket)
            clock = asyncio.get_running_loop().time
            try:
                with self._live_load.session(clock) if priority.is_live else nullcontext():
                    yield ticket
            finally:
                self._tickets.discard(ticket)
                ticket.close()
                for lane in self._lanes:
                    lane.scheduler.wake()  # uploads may use a worker that was reserved for this session

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job:
        """Enqueue `work`; for `Ticket`. The job's future gets the result or an error, at the deadline at the latest."""
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
        """Wait until `deadline` for the model that `work` needs; for `Ticket`."""
        lifecycle = self._lane_of(work).lifecycle
        try:
            async with asyncio.timeout_at(deadline):
                await lifecycle.ready()
        except TimeoutError:
            raise _still_loading(lifecycle) from None

    def lease_aligner(self) -> AbstractContextManager[None]:
        """For `Ticket`: held from its first alignment, or its preparation, until the ticket ends."""
        return self._alignment.lifecycle.lease() if self._alignment is not None else nullcontext()

    def prepare_aligner(self) -> None:
        """Start loading the aligner if it is not loaded; for `Ticket`.

        Raises:
            ModelLoadError: it is not ready yet, or its load failed a moment ago.
        """
        if self._alignment is None:
            return
        lifecycle = self._alignment.lifecycle
        lifecycle.start_loading()
        if lifecycle.state is not LifecycleState.READY:
            raise _still_loading(lifecycle)

    def forget(self, utterance: str) -> None:
        """Let the backend drop its cache of a live utterance, once none of its work is running."""
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

    def _workers_reserved(self) -> int:
        return self._live_load.workers_reserved(asyncio.get_running_loop().time())

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
            self._live_load.record_work(now, now - job.started)
        error = None if job.future.cancelled() else job.future.exception()
        if isinstance(error, StenoError):
            self._telemetry.failed(error.code)


def _still_loading(lifecycle: Lifecycle) -> ModelLoadError:
    done, what = lifecycle.progress
    return ModelLoadError(f"{lifecycle.name} is still loading ({done:.0%}, {what})", retry_after_s=10)
