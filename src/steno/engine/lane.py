"""A lane: a model with its queue, scheduler and lifecycle. The engine has one for recognition and, if there is an
aligner, one for alignment, so that neither waits for the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from steno.backends.base import AsyncBackend, StepBackend
from steno.engine.lifecycle import Lifecycle
from steno.engine.queue import JOBS_PER_TICKET, Job, PriorityInferQueue
from steno.engine.scheduler import AsyncScheduler, Scheduler, StepScheduler
from steno.engine.telemetry import AlignerTelemetry, Telemetry
from steno.errors import DrainingError, OverloadedError

if TYPE_CHECKING:
    from steno.backends.aligners.base import Aligner
    from steno.engine.admission import AdmissionLimits
    from steno.engine.backend_thread import BackendThread


class Lane:
    """Started and stopped by the engine; runs on its event loop."""

    def __init__(self, name: str, queue: PriorityInferQueue, scheduler: Scheduler, lifecycle: Lifecycle) -> None:
        self._name = name
        self.queue = queue
        self.scheduler = scheduler
        self.lifecycle = lifecycle
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._worker = asyncio.create_task(self.scheduler.run(), name=f"{self._name} scheduler")

    async def stop_working(self) -> None:
        """Abort running jobs. The engine settles those that still wait."""
        assert self._worker is not None
        self._worker.cancel()
        await asyncio.wait([self._worker])

    @property
    def is_alive(self) -> bool:
        """Whether the scheduler runs."""
        return self._worker is not None and not self._worker.done()

    def put(self, job: Job) -> None:
        """Enqueue `job`.

        Raises:
            DrainingError: the lane has stopped.
            OverloadedError: the queue is full; the job's future is cancelled.
        """
        if not self.is_alive:
            job.future.cancel()
            raise DrainingError
        try:
            self.queue.put(job)
        except OverloadedError:
            job.future.cancel()
            raise
        self.scheduler.wake()

    def drop(self, job: Job) -> None:
        """The job's future is done: remove the job from the queue, or abort it."""
        self.queue.discard(job)
        self.scheduler.abandon(job)


def recognition_lane(
    backend: AsyncBackend | StepBackend,
    thread: BackendThread,
    limits: AdmissionLimits,
    telemetry: Telemetry,
    workers_reserved: Callable[[], int],
    on_broken: Callable[[str], None],
) -> Lane:
    scheduler: Scheduler
    if isinstance(backend, StepBackend):
        queue = _queue(limits, backend.slots)
        scheduler = StepScheduler(backend, queue, telemetry, thread.run, on_broken)  # type: ignore[arg-type]
    else:
        queue = _queue(limits, backend.workers + backend.live_workers)
        scheduler = AsyncScheduler(backend, backend.recognize, queue, telemetry, workers_reserved, backend.forget)
    lifecycle = Lifecycle(backend.model_id, thread.load, thread.unload, limits.idle_timeout_s)
    return Lane("recognition", queue, scheduler, lifecycle)


def alignment_lane(
    aligner: Aligner, limits: AdmissionLimits, telemetry: Telemetry, workers_reserved: Callable[[], int]
) -> Lane:
    queue = _queue(limits, aligner.workers + aligner.live_workers)
    scheduler = AsyncScheduler(aligner, aligner.align, queue, AlignerTelemetry(telemetry), workers_reserved)
    lifecycle = Lifecycle(aligner.model_id, aligner.load, aligner.unload, limits.idle_timeout_s)
    return Lane("alignment", queue, scheduler, lifecycle)


def _queue(limits: AdmissionLimits, running: int) -> PriorityInferQueue:
    """A queue that holds all jobs of all admitted requests. `running`: jobs that run at once."""
    return PriorityInferQueue((limits.max_waiting + limits.max_live + running) * JOBS_PER_TICKET + running)
