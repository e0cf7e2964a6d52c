"""A request's or a session's place in the engine.

It holds the model's lease (through `Engine.admit`), owns its jobs, and takes all of them with it when it ends, however
it ends.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, suppress
from typing import Protocol

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.engine.queue import Job, Priority, Result, Work
from steno.errors import DeadlineExceededError, DrainingError, ModelLoadError, UnsupportedLanguageError
from steno.types import Hypothesis

ALIGNER_REST_S = 30.0
"""A live session that has waited in vain for word times does without them for so long."""


class TicketRunner(Protocol):
    """What a ticket needs of the engine. Deadlines are the event loop's clock, in seconds."""

    async def ready(self, deadline: float, work: Work | None = None) -> None:
        """Wait for the model that does `work`; None = the recogniser's."""

    def lease_aligner(self) -> AbstractContextManager[None]:
        """While it is held, the aligner stays loaded. Nothing where there is none."""

    def aligns(self, language: str | None) -> bool:
        """Whether there is an aligner that speaks `language` (None = not known)."""

    def prepare_aligner(self) -> None:
        """Begin to load the aligner. Raises ModelLoadError: it is not ready yet, or could not be loaded."""

    def submit(self, work: Work, priority: Priority, deadline: float) -> Job: ...


class Ticket:
    """Made by `Engine.admit`.

    Args:
        deadline: when the request's time is up; None for a session, which has no end.
        job_timeout_s: what a job gets where nothing else bounds it.
    """

    def __init__(self, runner: TicketRunner, priority: Priority, deadline: float | None, job_timeout_s: float) -> None:
        self._runner = runner
        self._priority = priority
        self._deadline = deadline
        self._job_timeout_s = job_timeout_s
        self._jobs: set[Job] = set()
        self._waits: set[asyncio.Timeout] = set()
        self._aligner = ExitStack()
        self._is_aligning = False
        self._has_waited_in_vain = False
        self._aligner_rests_until = -math.inf
        self._is_closed = False
        self._is_cut_off = False
        self.load_s = 0.0
        """Seconds spent waiting for the model to load."""
        self.queue_s = 0.0
        """Seconds that jobs waited for their turn, added up."""
        self.busy_s = 0.0
        """Seconds that the backend held jobs, added up."""
        self.align_s = 0.0
        """Seconds from the submission of alignments to their ends, added up."""

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
        """Like `recognize`, for the times of a given text.

        An upload waits for the aligner to load, once: after a wait in vain it uses the aligner only when that is
        ready. A live session never waits for it. An aligner that did not answer in time is left alone: by an upload
        for good, by a live session for `ALIGNER_REST_S`.

        Raises:
            ModelLoadError: the aligner is not ready.
            UnsupportedLanguageError: it does not speak the language of the text.
        """
        loop = asyncio.get_running_loop()
        if not self._runner.aligns(work.language):
            raise UnsupportedLanguageError(f"no aligner here speaks {work.language!r}; see ALIGNER", param="language")
        if loop.time() < self._aligner_rests_until:
            raise ModelLoadError("the aligner did not answer in time")
        self._keep_aligner()
        if self._priority.is_live or self._has_waited_in_vain:
            self._runner.prepare_aligner()
        try:
            result = await self._run(work, priority, timeout_s)
        except ModelLoadError:
            self._has_waited_in_vain = True
            raise
        except DeadlineExceededError:
            self._aligner_rests_until = loop.time() + ALIGNER_REST_S if self._priority.is_live else math.inf
            raise
        assert isinstance(result, Alignment)
        return result

    def prepare_aligner(self) -> None:
        """Begin to load the aligner, and keep it loaded until the ticket ends: alignments will come. Never waits."""
        self._keep_aligner()
        with suppress(ModelLoadError):
            self._runner.prepare_aligner()

    def _keep_aligner(self) -> None:
        if not self._is_aligning and not self._is_closed:
            self._is_aligning = True
            self._aligner.enter_context(self._runner.lease_aligner())

    def time_left_s(self) -> float | None:
        """Until the request's time is up; None for a session."""
        return None if self._deadline is None else max(self._deadline - asyncio.get_running_loop().time(), 0.0)

    async def ready(self) -> None:
        """Wait for the model, so that a load which fails is known before an answer begins.

        Raises:
            ModelLoadError: it did not load, or not in the request's time.
        """
        began = asyncio.get_running_loop().time()
        await self._load(began + self._job_timeout_s if self._deadline is None else self._deadline)

    @asynccontextmanager
    async def in_time(self, what: str) -> AsyncIterator[None]:
        """Bounds what is not a job, such as receiving and decoding, by the request's time and the engine's.

        Raises:
            DeadlineExceededError: the request's time was up before `what`.
            DrainingError: the engine's work was cut off.
        """
        try:
            async with self._bounded(self._deadline):
                yield
        except TimeoutError:
            raise DeadlineExceededError(f"the request's time was up before {what}") from None

    def cut_off(self) -> None:
        """The engine stops: end with a `DrainingError` whatever is waited for, and whatever is asked for later."""
        self._is_cut_off = True
        now = asyncio.get_running_loop().time()
        for timeout in list(self._waits):
            timeout.reschedule(now)
        for job in list(self._jobs):
            job.settle(DrainingError())

    def close(self) -> None:
        """Cancel what is not finished, and whatever is asked for later. Idempotent."""
        self._is_closed = True
        self._aligner.close()
        for job in list(self._jobs):
            job.future.cancel()

    async def _run(self, work: Work, priority: Priority | None, timeout_s: float | None) -> Result:
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
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        result = await job.future
        if isinstance(work, Align):
            self.align_s += loop.time() - job.submitted
        elif job.started is not None:
            self.queue_s += job.started - job.submitted
            self.busy_s += loop.time() - job.started
        return result

    async def _load(self, deadline: float, work: Work | None = None) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self._bounded(None):
            await self._runner.ready(deadline, work)
        self.load_s = max(self.load_s, loop.time() - began)

    @asynccontextmanager
    async def _bounded(self, deadline: float | None) -> AsyncIterator[None]:
        """Raises TimeoutError at `deadline`, and DrainingError when the ticket is cut off."""
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
