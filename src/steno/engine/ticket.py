"""A ticket: one admitted request or live session.

It holds the model's lease (through `Engine.admit`), owns its jobs, and cancels all of them when it ends, however it
ends.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Protocol

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.engine.queue import Job, Priority, Result, Work
from steno.errors import DeadlineExceededError, DrainingError, ModelLoadError, UnsupportedLanguageError
from steno.types import Hypothesis

ALIGNER_PAUSE_S = 30.0
"""After an alignment timed out, a live session does not use the aligner for this long."""


class KnownResults(Protocol):
    """Results from an earlier attempt at the same request: of the model, and of the LLM that translates."""

    async def find(self, work: Work) -> Result | None: ...

    async def add(self, work: Work, result: Result) -> None: ...

    async def find_answer(self, question: str) -> str | None: ...

    async def add_answer(self, question: str, answer: str) -> None: ...


class TicketRunner(Protocol):
    """What a ticket needs from the engine. Deadlines are the event loop's clock, in seconds."""

    async def ready(self, deadline: float, work: Work | None = None) -> None:
        """Wait for the model that `work` needs; None = the recogniser's."""

    def lease_aligner(self) -> AbstractContextManager[None]:
        """The aligner stays loaded while this is held. No-op if there is no aligner."""

    def aligns(self, language: str | None) -> bool:
        """Whether there is an aligner that supports `language` (None = not known)."""

    def prepare_aligner(self) -> None:
        """Start loading the aligner. Raises ModelLoadError: it is not ready yet, or its load failed."""

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job: ...


class Ticket:
    """Made by `Engine.admit`.

    Args:
        deadline: of the request; None for a session or a stored job.
        job_timeout_s: timeout of a job where no other applies.
        known: where results are looked up before work is submitted, and added after it; None = nowhere.
    """

    def __init__(
        self,
        runner: TicketRunner,
        priority: Priority,
        deadline: float | None,
        job_timeout_s: float,
        known: KnownResults | None = None,
    ) -> None:
        self._runner = runner
        self._priority = priority
        self._deadline = deadline
        self._job_timeout_s = job_timeout_s
        self.known = known
        self._jobs: set[Job] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._aligner_lease = ExitStack()
        self._holds_aligner = False
        self._aligner_load_failed = False
        self._aligner_paused_until = -math.inf
        self._is_closed = False
        self._is_cut_off = False
        self.load_s = 0.0
        """Seconds spent waiting for the model to load."""
        self.queue_s = 0.0
        """Total seconds that jobs waited in the queue."""
        self.busy_s = 0.0
        """Total seconds that the backend spent on jobs."""
        self.align_s = 0.0
        """Total seconds from submission to completion of alignments."""

    async def recognize(
        self, work: Recognize, priority: Priority | None = None, timeout_s: float | None = None
    ) -> Hypothesis:
        """Queue `work` and return its result.

        Raises:
            StenoError: it failed: `ModelLoadError`, `DeadlineExceededError`, `SupersededError`, `BackendError`, ….
        """
        result = await self._run(work, priority, timeout_s)
        assert isinstance(result, Hypothesis)
        return result

    async def align(self, work: Align, priority: Priority | None = None, timeout_s: float | None = None) -> Alignment:
        """Like `recognize`, for the word times of a given text.

        An upload waits for the aligner to load once; if that fails, it uses the aligner later only if it is ready. A
        live session never waits for it. After an alignment timed out, an upload does not use the aligner again, and a
        live session not for `ALIGNER_PAUSE_S`.

        Raises:
            ModelLoadError: the aligner is not ready.
            UnsupportedLanguageError: no aligner supports the text's language.
        """
        loop = asyncio.get_running_loop()
        if not self._runner.aligns(work.language):
            raise UnsupportedLanguageError(f"no aligner supports {work.language!r}; see ALIGNER", param="language")
        if loop.time() < self._aligner_paused_until:
            raise ModelLoadError("the aligner did not answer in time")
        self._hold_aligner()
        if self._priority.is_live or self._aligner_load_failed:
            self._runner.prepare_aligner()
        try:
            result = await self._run(work, priority, timeout_s)
        except ModelLoadError:
            self._aligner_load_failed = True
            raise
        except DeadlineExceededError:
            self._aligner_paused_until = loop.time() + ALIGNER_PAUSE_S if self._priority.is_live else math.inf
            raise
        assert isinstance(result, Alignment)
        return result

    def prepare_aligner(self) -> None:
        """Start loading the aligner and keep it loaded until the ticket ends, for alignments to come. Never waits."""
        self._hold_aligner()
        with suppress(ModelLoadError):
            self._runner.prepare_aligner()

    def _hold_aligner(self) -> None:
        if not self._holds_aligner and not self._is_closed:
            self._holds_aligner = True
            self._aligner_lease.enter_context(self._runner.lease_aligner())

    def time_left_s(self) -> float | None:
        """Seconds until the request's deadline; None for a session or a stored job."""
        return None if self._deadline is None else max(self._deadline - asyncio.get_running_loop().time(), 0.0)

    async def ready(self) -> None:
        """Wait for the model, so that a failed load is known before a response starts.

        Raises:
            ModelLoadError: the load failed, or exceeded the request's deadline.
        """
        began = asyncio.get_running_loop().time()
        await self._load(began + self._job_timeout_s if self._deadline is None else self._deadline)

    @asynccontextmanager
    async def in_time(self, what: str) -> AsyncIterator[None]:
        """Bounds work that is not a job, such as receiving and decoding, by the request's deadline and the shutdown.

        Raises:
            DeadlineExceededError: the deadline passed before `what`.
            DrainingError: the engine shut down.
        """
        try:
            async with self._bounded(self._deadline):
                yield
        except TimeoutError:
            raise DeadlineExceededError(f"the request's time was up before {what}") from None

    def cut_off(self) -> None:
        """The engine shuts down: pending and later calls end with a `DrainingError`."""
        self._is_cut_off = True
        now = asyncio.get_running_loop().time()
        for timeout in list(self._waits):
            timeout.reschedule(now)
        for job in list(self._jobs):
            job.settle(DrainingError())

    def close(self) -> None:
        """Cancel pending and later calls. Idempotent."""
        self._is_closed = True
        self._aligner_lease.close()
        for job in list(self._jobs):
            job.future.cancel()

    async def _run(self, work: Work, priority: Priority | None, timeout_s: float | None) -> Result:
        """The result of `work`, from an earlier attempt if it is known."""
        if self.known is None:
            return await self._submit(work, priority, timeout_s)
        if (known := await self.known.find(work)) is not None:
            return known
        result = await self._submit(work, priority, timeout_s)
        await self.known.add(work, result)
        return result

    async def _submit(self, work: Work, priority: Priority | None, timeout_s: float | None) -> Result:
        loop = asyncio.get_running_loop()
        began = loop.time()
        deadline = began + (self._job_timeout_s if timeout_s is None else timeout_s)
        if self._deadline is not None:
            deadline = min(deadline, self._deadline)
        await self._load(deadline, work)
        if self._is_closed:
            raise asyncio.CancelledError("the request has ended")
        job = self._runner.submit(work, self._priority if priority is None else priority, deadline)
        self._jobs.add(job)
        job.future.add_done_callback(partial(self._done, job))
        try:
            result = await job.future
        except BaseException:
            del job  # a cycle: its future keeps the error, whose traceback keeps this frame, and the job's audio
            raise
        if isinstance(work, Align):
            self.align_s += loop.time() - job.submitted
        elif job.started is not None:
            self.queue_s += job.started - job.submitted
            self.busy_s += loop.time() - job.started
        return result

    def _done(self, job: Job, _: object) -> None:
        self._jobs.discard(job)

    async def _load(self, deadline: float, work: Work | None = None) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._bounded(None):
            await self._runner.ready(deadline, work)
        self.load_s = max(self.load_s, loop.time() - began)

    @asynccontextmanager
    async def _bounded(self, deadline: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError at `deadline`, and DrainingError if the engine shuts down."""
        if self._is_cut_off:
            raise DrainingError
        try:
            async with asyncio.timeout_at(deadline) as timeout:
                self._waits.add(timeout)
                try:
                    yield
                finally:
                    self._waits.discard(timeout)
        except TimeoutError:
            if self._is_cut_off:
                raise DrainingError from None
            raise
