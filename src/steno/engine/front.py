"""The engine as everything above sees it: `admit` lets a request in, its `Ticket` runs work.

Requests are refused at `admit`, before any audio is read. An admitted request is never refused later for lack of
capacity. Whatever runs the jobs is behind an `EngineClient`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext

from steno import request_ids, tracing
from steno.backends.aligners.base import Align
from steno.backends.base import Capabilities
from steno.engine.admission import AdmissionControl, AdmissionLimits
from steno.engine.counts import Counts
from steno.engine.front_traces import FrontTraces
from steno.engine.lifecycle import LifecycleState
from steno.engine.live_load import LiveLoad
from steno.engine.protocol import AlignerInfo, BackendInfo, EngineClient, EngineStatus, LaneStatus, Lease
from steno.engine.queue import FREE_SLOTS_PER_PIECE, JOBS_PER_TICKET, Job, Priority, Work
from steno.engine.telemetry import NullTelemetry, Telemetry
from steno.engine.ticket import KnownResults, Ticket
from steno.errors import BackendUnavailableError, DeadlineExceededError, DrainingError, ModelLoadError, StenoError

BULK_WORK_S = 3600.0
"""Time limit of one piece of a stored job: all other work goes before it."""


class Engine:
    """Admits requests and sessions, and runs their work through a client.

    Args:
        counts: what limits are checked against; None = what this process has admitted.

    Use it as `async with engine: …`; leaving it ends all work and unloads the models.
    """

    def __init__(
        self,
        client: EngineClient,
        limits: AdmissionLimits,
        telemetry: Telemetry | None = None,
        counts: Counts | None = None,
    ) -> None:
        self._client = client
        self._limits = limits
        self._telemetry = telemetry or NullTelemetry()
        self._live_load = LiveLoad()
        self._tickets: set[Ticket] = set()
        self._admission = AdmissionControl(
            limits,
            self._telemetry,
            capacity=lambda: self.status().capacity,
            live_capacity=lambda: self.live_capacity,
            live_wait_s=lambda: self.status().live_wait_s,
            counts=counts,
        )
        self._stopped = False
        tracer = tracing.active()
        self._traces = FrontTraces(tracer) if tracer is not None else None
        self._preload_lease = ExitStack()
        self._is_preloaded = False

    async def __aenter__(self) -> Engine:
        await self._client.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        await self._client.stop_working()
        self._preload_lease.close()
        self.cut_off()
        await self._client.aclose()
        if self._traces is not None:
            self._traces.close()

    @property
    def backend(self) -> BackendInfo:
        return self._client.info.backend

    @property
    def capabilities(self) -> Capabilities:
        return self.backend.capabilities

    @property
    def aligner(self) -> AlignerInfo | None:
        return self._client.info.aligner

    def status(self) -> EngineStatus:
        """A snapshot of the models, the queue and the process that has them."""
        return self._client.status()

    def times_words_of(self, language: str | None) -> bool:
        """Whether words of a text in `language` (None = not known yet) get measured times, from the recogniser or the
        aligner."""
        return self.capabilities.word_times or self.aligns(language)

    def aligns(self, language: str | None) -> bool:
        """Whether there is an aligner that supports `language` (None = not known)."""
        return self.aligner is not None and (language is None or language in self.aligner.languages)

    @property
    def model_state(self) -> LifecycleState:
        return self.status().recogniser.state

    @property
    def aligner_state(self) -> LifecycleState | None:
        """None if there is no aligner."""
        aligner = self.status().aligner
        return aligner.state if aligner is not None else None

    @property
    def active(self) -> int:
        """Requests and sessions that this process has admitted now."""
        return self._admission.admitted

    @property
    def total_active(self) -> int:
        """As `active`, of all fronts."""
        return self._admission.total_admitted

    @property
    def parallelism(self) -> int:
        """How many pieces of one upload should be in progress at once, by the slots or workers that are free now."""
        status = self.status()
        free = status.capacity - status.running - sum(status.queue_depth.values())
        return min(status.capacity, max(JOBS_PER_TICKET, free // FREE_SLOTS_PER_PIECE))

    @property
    def live_capacity(self) -> int | None:
        """How many live sessions fit, by the measured load of open ones; None = unknown, or only `max_live` applies."""
        if not self._limits.live_by_load:
            return None
        status, now = self.status(), asyncio.get_running_loop().time()
        return self._live_load.capacity(now, status.parallelism, shares_steps=status.shares_steps)

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
            self._preload_lease.enter_context(self._client.hold(Lease.RECOGNISER))
        await self._client.ready(aligner=False)

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
        with self._admission.enter(priority, client), self._client.hold(Lease.RECOGNISER):
            ticket = Ticket(self, priority, deadline, work_timeout_s, known)
            self._tickets.add(ticket)
            try:
                with self._live_session() if priority.is_live else nullcontext():
                    yield ticket
            finally:
                self._tickets.discard(ticket)
                ticket.close()
                self._client.wake()  # uploads may use a worker that was reserved for this session

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job:
        """Enqueue `work`; for `Ticket`. The job's future gets the result or an error, at the deadline at the latest."""
        loop = asyncio.get_running_loop()
        if self._stopped:
            raise DrainingError()
        job = Job(work, priority, loop.time(), deadline, loop.create_future(), request_id=request_ids.current())
        if self._traces is not None:
            job.trace = self._traces.begin(job)
        timer = loop.call_at(deadline, self._expire, job)
        job.future.add_done_callback(lambda _: self._settled(job, timer))
        self._client.put(job)
        return job

    async def ready(self, deadline: float, work: Work | None = None) -> None:
        """Wait until `deadline` for the model that `work` needs; for `Ticket`."""
        try:
            await self._ready(deadline, work)
        except ModelLoadError as error:
            self._telemetry.refused(error.code)
            raise

    async def _ready(self, deadline: float, work: Work | None) -> None:
        if isinstance(work, Align) and self.aligner is None:
            raise BackendUnavailableError("this server has no aligner; set ALIGNER")
        try:
            async with asyncio.timeout_at(deadline):
                await self._client.ready(aligner=isinstance(work, Align))
        except TimeoutError:
            status = self.status()
            if isinstance(work, Align) and self.aligner is not None and status.aligner is not None:
                raise _still_loading(self.aligner.model_id, status.aligner) from None
            raise _still_loading(self.backend.model_id, status.recogniser) from None

    def lease_aligner(self) -> AbstractContextManager[None]:
        """For `Ticket`: held from its first alignment, or its preparation, until the ticket ends."""
        return self._client.hold(Lease.ALIGNER) if self.aligner is not None else nullcontext()

    def prepare_aligner(self) -> None:
        """Start loading the aligner if it is not loaded; for `Ticket`.

        Raises:
            ModelLoadError: it is not ready yet, or its load failed a moment ago.
        """
        if self.aligner is None:
            return
        lane = self._client.start_loading_aligner()
        if lane.state is not LifecycleState.READY:
            raise _still_loading(self.aligner.model_id, lane)

    def forget(self, utterance: str) -> None:
        """Let the backend drop its cache of a live utterance, once none of its work is running."""
        self._client.forget(utterance)
        if self._traces is not None:
            self._traces.forget(utterance)

    @contextmanager
    def _live_session(self) -> Iterator[None]:
        with self._live_load.session(asyncio.get_running_loop().time), self._client.hold(Lease.LIVE):
            yield

    def _expire(self, job: Job) -> None:
        what = "the times of its words were found" if isinstance(job.work, Align) else "its audio was recognised"
        job.settle(DeadlineExceededError(f"the request's time was up before {what}"))

    def _settled(self, job: Job, timer: asyncio.TimerHandle) -> None:
        timer.cancel()
        self._client.settled(job)
        if job.priority.is_live and job.started is not None:
            now = asyncio.get_running_loop().time()
            self._live_load.record_work(now, now - job.started)
        error = None if job.future.cancelled() else job.future.exception()
        if isinstance(error, StenoError):
            self._telemetry.failed(error.code)
        if self._traces is not None and job.trace is not None:
            self._traces.settled(job, job.trace, error)


def _still_loading(model_id: str, lane: LaneStatus) -> ModelLoadError:
    done, what = lane.progress
    return ModelLoadError(f"{model_id} is still loading ({done:.0%}, {what})", retry_after_s=10)
