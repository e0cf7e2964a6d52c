"""A model, the queue before it and the scheduler between them. The engine has one for recognition and, where there is
an aligner, one for alignment: so neither ever waits for the other."""

from __future__ import annotations

import asyncio

from steno.engine.lifecycle import Lifecycle
from steno.engine.queue import Job, PriorityInferQueue
from steno.engine.scheduler import Scheduler
from steno.errors import DrainingError, OverloadedError


class Lane:
    """Started and stopped by the engine; lives on its event loop."""

    def __init__(self, name: str, queue: PriorityInferQueue, scheduler: Scheduler, lifecycle: Lifecycle) -> None:
        self._name = name
        self.queue = queue
        self.scheduler = scheduler
        self.lifecycle = lifecycle
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._worker = asyncio.create_task(self.scheduler.run(), name=f"{self._name} scheduler")

    async def stop_working(self) -> None:
        """Abort what runs. Jobs that still wait are the engine's to settle."""
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
        """The job's future has ended: take it out of the queue, or abort it."""
        self.queue.discard(job)
        self.scheduler.abandon(job)
