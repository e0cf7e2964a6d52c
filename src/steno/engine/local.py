"""The client of lanes in this process: a recogniser and, where there is one, an aligner."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager

from steno.backends.aligners.base import Align, Aligner
from steno.backends.base import (
    AsyncBackend,
    Gpu,
    HasAccelerations,
    RestartsItself,
    StepBackend,
    UsesDrafts,
    UsesGpu,
    UsesServers,
    UsesSlots,
)
from steno.engine.admission import AdmissionLimits
from steno.engine.backend_thread import BackendThread
from steno.engine.front import Engine
from steno.engine.lane import Lane, alignment_lane, recognition_lane
from steno.engine.lifecycle import LifecycleState
from steno.engine.live_load import LiveLoad
from steno.engine.protocol import EngineInfo, EngineStatus, LaneStatus, Lease
from steno.engine.queue import Job, Work
from steno.engine.scheduler import reserved_slots
from steno.engine.telemetry import NullTelemetry, Telemetry

RunInThread = Callable[[Callable[[], object]], Awaitable[object]]

GPU_S = 1.0


class LocalClient:
    """An `EngineClient` with the models, queues and schedulers in this process.

    Args:
        aligner: times the words of the recogniser's texts; None = only the recogniser's own word times, if any.
        run_in_thread: runs a `StepBackend`'s calls; None = in a thread of its own. For tests in virtual time.
        on_broken: called, before any job is settled, when the recogniser's device failed for good; None = `status`
            tells it.
    """

    def __init__(
        self,
        backend: AsyncBackend | StepBackend,
        limits: AdmissionLimits,
        telemetry: Telemetry | None = None,
        run_in_thread: RunInThread | None = None,
        aligner: Aligner | None = None,
        on_broken: Callable[[str], None] | None = None,
    ) -> None:
        telemetry = telemetry or NullTelemetry()
        self._backend = backend
        self._aligner = aligner
        self._thread = BackendThread(backend, run_in_thread)
        self._live_load = LiveLoad()
        self._broken: str | None = None
        self._gpus: tuple[Gpu, ...] = ()
        self._gpu_asked = -math.inf
        self._recognition = recognition_lane(
            backend, self._thread, limits, telemetry, self._workers_reserved, on_broken or self._set_broken
        )
        self._alignment = (
            alignment_lane(aligner, limits, telemetry, self._workers_reserved) if aligner is not None else None
        )

    @property
    def info(self) -> EngineInfo:
        return EngineInfo.of(self._backend, self._aligner)

    async def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    async def stop_working(self) -> None:
        for lane in self._lanes:
            await lane.stop_working()

    async def aclose(self) -> None:
        for lane in self._lanes:
            await lane.lifecycle.close()
        self._thread.close()

    def status(self) -> EngineStatus:
        backend, lane = self._backend, self._recognition
        now = asyncio.get_running_loop().time()
        return EngineStatus(
            capacity=lane.scheduler.capacity,
            device=backend.device,
            recogniser=_status_of(lane),
            aligner=_status_of(self._alignment) if self._alignment is not None else None,
            queue_depth=lane.queue.depth(),
            running=lane.scheduler.running,
            live_sessions=self._live_load.open,
            live_wait_s=lane.queue.longest_live_wait_s(now),
            parallelism=_parallelism_of(backend),
            shares_steps=isinstance(backend, StepBackend),
            is_working=all(lane.is_alive for lane in self._lanes),
            broken=self._broken,
            path=backend.path if isinstance(backend, UsesDrafts | UsesServers) else None,
            accelerations=backend.accelerations() if isinstance(backend, HasAccelerations) else None,
            gpus=self._gpus_now(now),
            drafts=backend.drafts() if isinstance(backend, UsesDrafts) else None,
            slots=backend.slot_usage() if isinstance(backend, UsesSlots) else None,
            servers=tuple(backend.servers()) if isinstance(backend, UsesServers) else None,
            failovers=backend.failovers if isinstance(backend, UsesServers) else 0,
            restarting=backend.restarting() if isinstance(backend, RestartsItself) else None,
        )

    def busy_s(self) -> float:
        """How long the step or call that runs longest has been running."""
        now = asyncio.get_running_loop().time()
        return max((now - began for lane in self._lanes if (began := lane.scheduler.busy_since) is not None), default=0)

    def put(self, job: Job) -> None:
        self._lane_of(job.work).put(job)

    def settled(self, job: Job) -> None:
        self._lane_of(job.work).drop(job)
        if job.priority.is_live and job.started is not None:
            now = asyncio.get_running_loop().time()
            self._live_load.record_work(now, now - job.started)

    def forget(self, utterance: str) -> None:
        self._recognition.scheduler.forget(utterance)

    def is_loaded(self, *, aligner: bool) -> bool:
        """Whether `ready` would return at once. Cheaper than `status`, for each job of a worker."""
        lane = self._alignment if aligner else self._recognition
        return lane is not None and lane.lifecycle.state is LifecycleState.READY

    async def ready(self, *, aligner: bool) -> None:
        lane = self._alignment if aligner else self._recognition
        assert lane is not None
        await lane.lifecycle.ready()

    def start_loading_aligner(self) -> LaneStatus:
        assert self._alignment is not None
        self._alignment.lifecycle.start_loading()
        return _status_of(self._alignment)

    def hold(self, lease: Lease) -> AbstractContextManager[None]:
        if lease is Lease.LIVE:
            return self._live_load.session(asyncio.get_running_loop().time)
        lane = self._recognition if lease is Lease.RECOGNISER else self._alignment
        assert lane is not None
        return lane.lifecycle.lease()

    def wake(self) -> None:
        for lane in self._lanes:
            lane.scheduler.wake()

    def _gpus_now(self, now: float) -> tuple[Gpu, ...]:
        """The GPU's memory, asked for once a second at most: each admission looks at the status."""
        if isinstance(self._backend, UsesGpu) and now - self._gpu_asked > GPU_S:
            gpu, self._gpu_asked = self._backend.gpu(), now
            self._gpus = (gpu,) if gpu is not None else ()
        return self._gpus

    def _set_broken(self, reason: str) -> None:
        self._broken = reason

    @property
    def _lanes(self) -> list[Lane]:
        return [lane for lane in (self._recognition, self._alignment) if lane is not None]

    def _lane_of(self, work: Work) -> Lane:
        if not isinstance(work, Align):
            return self._recognition
        assert self._alignment is not None, "no work for an aligner is admitted without one"
        return self._alignment

    def _workers_reserved(self) -> int:
        return self._live_load.workers_reserved(asyncio.get_running_loop().time())


def local_engine(
    backend: AsyncBackend | StepBackend,
    limits: AdmissionLimits,
    telemetry: Telemetry | None = None,
    run_in_thread: RunInThread | None = None,
    aligner: Aligner | None = None,
) -> Engine:
    """An engine whose models are in this process."""
    return Engine(LocalClient(backend, limits, telemetry, run_in_thread, aligner), limits, telemetry)


def unloaded_status(backend: AsyncBackend | StepBackend, aligner: Aligner | None) -> EngineStatus:
    """The status of models in a process that does not run."""
    capacity = backend.slots - reserved_slots(backend.slots) if isinstance(backend, StepBackend) else backend.workers
    return EngineStatus(
        capacity=capacity,
        parallelism=_parallelism_of(backend),
        shares_steps=isinstance(backend, StepBackend),
        device=backend.device,
        aligner=LaneStatus() if aligner is not None else None,
        path=backend.path if isinstance(backend, UsesDrafts | UsesServers) else None,
    )


def _parallelism_of(backend: AsyncBackend | StepBackend) -> int:
    """How many pieces of live work run at once."""
    return backend.slots if isinstance(backend, StepBackend) else max(backend.workers, backend.live_workers)


def _status_of(lane: Lane) -> LaneStatus:
    lifecycle = lane.lifecycle
    return LaneStatus(lifecycle.state, lifecycle.progress, lifecycle.failure, lifecycle.loads, lifecycle.failures)
