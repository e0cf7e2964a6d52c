"""The order of work: `PriorityInferQueue`.

Jobs are taken by class, then deadline, then arrival. Every `ageing_s` that a class's next job has waited lifts it by
one class, so that a flood of live work slows uploads down but never starves them: at equal class the nearer deadline
wins, and an aged job's deadline is near. A queued partial gives way to any newer job of its utterance; finals stay.

Whether a job is still wanted is its future's to say: whoever cancels or settles it has taken it out of the queue.
"""

from __future__ import annotations

import heapq
import itertools
from asyncio import Future
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from steno.backends.base import Recognize, Result, Work
from steno.errors import OverloadedError, StenoError, SupersededError
from steno.types import SAMPLE_RATE


class Priority(IntEnum):
    """Smaller is sooner."""

    LIVE_FINAL = 0
    LIVE_PARTIAL = 1
    INTERACTIVE = 2
    """An upload that somebody waits for."""
    BULK = 3

    @property
    def is_live(self) -> bool:
        return self <= Priority.LIVE_PARTIAL


@dataclass(eq=False, slots=True)
class Job:
    """One piece of work on its way. Times are the event loop's clock, in seconds."""

    work: Work
    priority: Priority
    submitted: float
    deadline: float
    future: Future[Result]
    started: float | None = field(default=None)

    @property
    def utterance(self) -> str | None:
        return self.work.utterance if isinstance(self.work, Recognize) else None

    @property
    def audio_s(self) -> float:
        return len(self.work.audio) / SAMPLE_RATE

    @property
    def pending(self) -> bool:
        """Whether anybody still waits for it: not settled, not cancelled, not timed out."""
        return not self.future.done()

    def settle(self, outcome: Result | StenoError) -> None:
        """Deliver, unless the job was abandoned meanwhile: then the outcome is nobody's."""
        if not self.pending:
            return
        if isinstance(outcome, StenoError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class PriorityInferQueue:
    """Bounded. Not thread-safe: it lives on the event loop."""

    def __init__(self, capacity: int, *, ageing_s: float = 10.0) -> None:
        self._capacity = capacity
        self._ageing_s = ageing_s
        self._arrivals = itertools.count()
        self._heaps: dict[Priority, list[tuple[float, int, Job]]] = {priority: [] for priority in Priority}
        self._waiting: set[Job] = set()
        self._partials: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def depth(self) -> dict[Priority, int]:
        """Waiting jobs by class."""
        counts = dict.fromkeys(Priority, 0)
        for job in self._waiting:
            counts[job.priority] += 1
        return counts

    def put(self, job: Job) -> None:
        """Enqueue.

        Raises:
            OverloadedError: the queue is full. A live final is taken all the same (admission bounds how many there
                can be), and pushes out the newest waiting partial if there is one.
        """
        self._supersede(job)
        if len(self._waiting) >= self._capacity and not self._make_room(job):
            raise OverloadedError(f"{len(self._waiting)} pieces of work are waiting, as many as may")
        heapq.heappush(self._heaps[job.priority], (job.deadline, next(self._arrivals), job))
        self._waiting.add(job)
        if job.priority is Priority.LIVE_PARTIAL and job.utterance is not None:
            self._partials[job.utterance] = job

    def pop(self, now: float, *, live_only: bool = False) -> Job | None:
        """Take the next job that somebody still waits for, or None."""
        heads = [
            (self._effective_class(head, now), head.deadline, head.priority, head) for head in self._heads(live_only)
        ]
        if not heads:
            return None
        job = min(heads, key=lambda entry: entry[:3])[3]
        heapq.heappop(self._heaps[job.priority])
        self.discard(job)
        return job

    def discard(self, job: Job) -> None:
        """Forget a job that is no longer wanted; one that is not here is fine. Its heap entry is skipped later."""
        self._waiting.discard(job)
        if job.utterance is not None and self._partials.get(job.utterance) is job:
            del self._partials[job.utterance]

    def _heads(self, live_only: bool) -> Iterator[Job]:
        for priority, heap in self._heaps.items():
            while heap and (heap[0][2] not in self._waiting or not heap[0][2].pending):
                self.discard(heapq.heappop(heap)[2])
            if heap and (priority.is_live or not live_only):
                yield heap[0][2]

    def _effective_class(self, job: Job, now: float) -> int:
        return max(int(job.priority) - int((now - job.submitted) / self._ageing_s), Priority.LIVE_FINAL)

    def _supersede(self, newer: Job) -> None:
        older = self._partials.get(newer.utterance) if newer.utterance is not None else None
        if older is not None:
            self.discard(older)
            older.settle(SupersededError("a newer piece of the same utterance took its place"))

    def _make_room(self, job: Job) -> bool:
        if job.priority is not Priority.LIVE_FINAL:
            return False
        newest = max(self._partials.values(), key=lambda partial: partial.submitted, default=None)
        if newest is not None:
            self.discard(newest)
            newest.settle(SupersededError("a final took its place: the server is overloaded"))
        return True
