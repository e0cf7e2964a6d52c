"""The tasks in which a stream's steps are recognised."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from steno.streaming.session import Session
from steno.streaming.step_request import StepRequest


class StepTasks:
    """Runs steps as tasks, cancels those that are not wanted any more, and releases what the backend caches of a
    segment after its last one.

    Args:
        release: called with a segment's id.
    """

    def __init__(self, session: Session, release: Callable[[int], None]) -> None:
        self._session = session
        self._release = release
        self._tasks: dict[asyncio.Task[None], StepRequest] = {}
        self._pending: Counter[int] = Counter()
        """Steps in progress, by segment. The backend may hold cached state for each segment in here."""

    def start(self, step: StepRequest, work: Coroutine[Any, Any, None]) -> None:
        """Run `work`, which recognises `step`. A speculative final takes the place of its segment's partials."""
        if step.speculative:
            self._cancel(lambda other: other.segment_id == step.segment_id)
        self._pending[step.segment_id] += 1
        task = asyncio.create_task(work, name=f"live {step.what}")
        self._tasks[task] = step
        task.add_done_callback(self._done)

    def cancel_unwanted(self) -> None:
        """Cancel the speculative finals of segments in which speech has continued."""
        self._cancel(lambda step: step.speculative and not self._session.wants(step))

    async def speculated(self, segment_id: int) -> None:
        """Return once no speculative final of the segment is in progress."""
        tasks = [task for task, step in self._tasks.items() if step.speculative and step.segment_id == segment_id]
        if tasks:
            await asyncio.wait(tasks)

    def release_ended(self, segment_id: int) -> None:
        """Release the segment if it has ended and no step of it is in progress. No-op for one that was released."""
        if segment_id in self._pending and not self._pending[segment_id] and not self._session.is_open(segment_id):
            del self._pending[segment_id]
            self._release(segment_id)

    async def aclose(self) -> None:
        """Cancel all steps."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def release_all(self) -> None:
        for segment_id in self._pending:
            self._release(segment_id)
        self._pending.clear()

    def _cancel(self, is_meant: Callable[[StepRequest], bool]) -> None:
        for task, step in self._tasks.items():
            if is_meant(step):
                task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        step = self._tasks.pop(task)
        if step.segment_id in self._pending:
            self._pending[step.segment_id] -= 1
            self.release_ended(step.segment_id)
