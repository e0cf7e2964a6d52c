"""A request's or a session's place in the engine.

It holds the model's lease (through `Engine.admit`), owns its jobs, and takes all of them with it when it ends, however
it ends.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from steno.backends.base import Align, Alignment, Hypothesis, Recognize, Result, Work
from steno.engine.queue import Job, Priority
from steno.errors import DeadlineExceededError


class Runner(Protocol):
    """What a ticket needs of the engine. Deadlines are the event loop's clock, in seconds."""

    async def ready(self, deadline: float) -> None: ...

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job: ...


class Ticket:
    """Made by `Engine.admit`.

    Args:
        deadline: when the request's time is up; None for a session, which has no end.
        job_timeout_s: what a job gets where nothing else bounds it.
    """

    def __init__(self, runner: Runner, priority: Priority, deadline: float | None, job_timeout_s: float) -> None:
        self._runner = runner
        self._priority = priority
        self._deadline = deadline
        self._job_timeout_s = job_timeout_s
        self._futures: set[asyncio.Future[Result]] = set()
        self._closed = False
        self.load_s = 0.0
        """Seconds spent waiting for the model to load."""
        self.queue_s = 0.0
        """Seconds that jobs waited for their turn, added up."""
        self.busy_s = 0.0
        """Seconds that the backend held jobs, added up."""

    async def recognize(
        self, work: Recognize, priority: Priority | None = None, timeout_s: float | None = None
    ) -> Hypothesis:
        """Run `work` when its turn comes.

        Raises:
            StenoError: what befell it: `ModelLoadError`, `DeadlineExceededError`, `SupersededError`, `BackendError`, ….
        """
        result = await self._run(work, priority, timeout_s)
        assert isinstance(result, Hypothesis)
        return result

    async def align(self, work: Align, priority: Priority | None = None, timeout_s: float | None = None) -> Alignment:
        """Like `recognize`, for the times of a given text."""
        result = await self._run(work, priority, timeout_s)
        assert isinstance(result, Alignment)
        return result

    def check_deadline(self) -> None:
        """Called between the parts of long work that are not jobs, such as decoding.

        Raises:
            DeadlineExceededError: the request's time is up.
        """
        if self._deadline is not None and asyncio.get_running_loop().time() >= self._deadline:
            raise DeadlineExceededError("the request's time was up before all of its audio was read")

    def close(self) -> None:
        """Cancel what is not finished, and whatever is asked for later. Idempotent."""
        self._closed = True
        for future in list(self._futures):
            future.cancel()

    async def _run(self, work: Work, priority: Priority | None, timeout_s: float | None) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + (self._job_timeout_s if timeout_s is None else timeout_s)
        if self._deadline is not None:
            deadline = min(deadline, self._deadline)
        await self._runner.ready(deadline)
        self.load_s = max(self.load_s, loop.time() - began)
        if self._closed:
            raise asyncio.CancelledError("the request has ended")
        job = self._runner.submit(work, self._priority if priority is None else priority, deadline)
        self._futures.add(job.future)
        job.future.add_done_callback(self._futures.discard)
        result = await job.future
        if job.started is not None:
            self.queue_s += job.started - job.submitted
            self.busy_s += loop.time() - job.started
        return result


class ServiceRate:
    """How fast requests leave while the engine is busy: a moving average of the time between two that end."""

    def __init__(self, weight: float = 0.2, initial_s: float = 2.0) -> None:
        self._weight = weight
        self._interval_s = initial_s
        self._since: float | None = None

    def entered(self, now: float) -> None:
        if self._since is None:
            self._since = now

    def left(self, now: float, still_in: int) -> None:
        if self._since is not None:
            self._interval_s += self._weight * (now - self._since - self._interval_s)
        self._since = now if still_in else None

    def time_for(self, requests: int) -> float:
        """Seconds until so many have left, between 1 and 120."""
        return min(max(requests * self._interval_s, 1.0), 120.0)
