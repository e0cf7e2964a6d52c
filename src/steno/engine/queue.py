"""The priority queue of jobs: `PriorityInferQueue`.

Jobs are ordered by class, then deadline, then arrival. Each `ageing_s` of waiting promotes the head of a class by one
class, so that a flood of live work slows uploads down but never starves them: within a class the nearer deadline wins,
and an aged job's deadline is near. A queued partial is superseded by a newer job of its utterance, which takes its
position: otherwise, if the wait exceeded the cadence of partials, none would ever run. Finals are never dropped. Jobs
of one utterance run one after the other, because a backend has one state per utterance.

A job whose future is done (cancelled or settled) counts as removed from the queue.
"""

from __future__ import annotations

import heapq
import itertools
from asyncio import Future
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.errors import OverloadedError, StenoError, SupersededError
from steno.types import SAMPLE_RATE, Hypothesis

if TYPE_CHECKING:
    from steno.engine.job_trace import JobTrace

Work: TypeAlias = Recognize | Align
Result: TypeAlias = Hypothesis | Alignment


JOBS_PER_TICKET = 4
"""Pieces of one request that may be in progress however busy the engine is; with the admission limits and the slots
this bounds the queue."""

FREE_SLOTS_PER_PIECE = 2
"""An upload has another piece in progress for so many free slots: alone on a large GPU it uses a third of them, and
several uploads share what is left."""


class Priority(IntEnum):
    """Job classes; smaller values run first."""

    LIVE_FINAL = 0
    LIVE_PARTIAL = 1
    INTERACTIVE = 2
    """An upload whose client waits for the response."""
    BULK = 3
    """Work of a stored job, which no client waits for."""

    @property
    def is_live(self) -> bool:
        return self <= Priority.LIVE_PARTIAL


@dataclass(eq=False, slots=True)
class Job:
    """A piece of work in the engine. Times are the event loop's clock, in seconds."""

    work: Work
    priority: Priority
    submitted: float
    deadline: float
    future: Future[Result]
    started: float | None = field(default=None)
    on_start: Callable[[], None] | None = field(default=None)
    """Called when the job leaves the queue for the backend."""
    order_deadline: float = field(default=0.0)
    """Set by the queue: the job's deadline, or that of the job whose position it took."""
    queued_at: float = field(default=0.0)
    """Set by the queue: when the job, or the one whose position it took, was submitted."""
    trace: JobTrace | None = field(default=None)
    """Its spans; None if none are recorded."""
    request_id: str | None = field(default=None)
    """Of the request, live session or stored job that it belongs to, for the log."""

    @property
    def utterance(self) -> str | None:
        return self.work.utterance if isinstance(self.work, Recognize) else None

    @property
    def is_partial(self) -> bool:
        return isinstance(self.work, Recognize) and not self.work.final

    @property
    def audio_s(self) -> float:
        return len(self.work.audio) / SAMPLE_RATE

    @property
    def pending(self) -> bool:
        """Whether its result is still awaited: not settled, cancelled or timed out."""
        return not self.future.done()

    def settle(self, outcome: Result | StenoError) -> None:
        """Deliver the outcome; discard it if the job was abandoned meanwhile."""
        if not self.pending:
            return
        if isinstance(outcome, StenoError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


_Entry: TypeAlias = tuple[float, int, Job]


class PriorityInferQueue:
    """Bounded. Not thread-safe: use it on the event loop."""

    def __init__(self, capacity: int, *, ageing_s: float = 10.0) -> None:
        self._capacity = capacity
        self._ageing_s = ageing_s
        self._arrivals = itertools.count()
        self._heaps: dict[Priority, list[_Entry]] = {priority: [] for priority in Priority}
        self._waiting: set[Job] = set()
        self._partials: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        """The running job of each utterance, from `pop` to `done`."""
        self._parked: dict[str, list[_Entry]] = {}
        """Jobs that reached the head while another job of their utterance was running."""

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
            OverloadedError: the queue is full. A live final is queued anyway (admission bounds their number) and
                evicts the newest waiting partial, if any.
        """
        older = self._supersede(job)
        if len(self._waiting) >= self._capacity and not self._make_space(job):
            raise OverloadedError(f"{len(self._waiting)} pieces of work are waiting, which is the maximum")
        deadline, queued_at = (older.order_deadline, older.queued_at) if older else (job.deadline, job.submitted)
        job.order_deadline, job.queued_at = deadline, queued_at
        heapq.heappush(self._heaps[job.priority], (deadline, next(self._arrivals), job))
        self._waiting.add(job)
        if job.priority is Priority.LIVE_PARTIAL and job.utterance is not None:
            self._partials[job.utterance] = job

    def pop(self, now: float, *, live_only: bool = False) -> Job | None:
        """Remove and return the next pending job; None if there is none."""
        heads = [
            (self._effective_class(head, now), head.order_deadline, head.priority, head)
            for head in self._heads(live_only)
        ]
        if not heads:
            return None
        job = min(heads, key=lambda entry: entry[:3])[3]
        heapq.heappop(self._heaps[job.priority])
        self.discard(job)
        if job.utterance is not None:
            self._running[job.utterance] = job
        return job

    def done(self, job: Job) -> None:
        """A popped job has left the backend; the next job of its utterance may run."""
        if job.utterance is not None and self._running.get(job.utterance) is job:
            del self._running[job.utterance]
            for entry in self._parked.pop(job.utterance, ()):
                heapq.heappush(self._heaps[entry[2].priority], entry)

    def longest_live_wait_s(self, now: float) -> float:
        """How long the oldest live job has been waiting."""
        return max((now - job.queued_at for job in self._heads(live_only=True)), default=0.0)

    def discard(self, job: Job) -> None:
        """Remove an abandoned job. No-op if it is not queued. Its heap entry is skipped later."""
        self._waiting.discard(job)
        if job.utterance is not None and self._partials.get(job.utterance) is job:
            del self._partials[job.utterance]

    def _heads(self, live_only: bool) -> Iterator[Job]:
        for priority, heap in self._heaps.items():
            while heap and not self._can_run(heap[0][2]):
                entry = heapq.heappop(heap)
                job = entry[2]
                if job in self._waiting and job.pending and job.utterance is not None:
                    self._parked.setdefault(job.utterance, []).append(entry)
                else:
                    self.discard(job)
            if heap and (priority.is_live or not live_only):
                yield heap[0][2]

    def _can_run(self, job: Job) -> bool:
        return job in self._waiting and job.pending and job.utterance not in self._running

    def _effective_class(self, job: Job, now: float) -> int:
        return max(int(job.priority) - int((now - job.queued_at) / self._ageing_s), Priority.LIVE_FINAL)

    def _supersede(self, newer: Job) -> Job | None:
        """Remove the waiting partial of the same utterance; return it if `newer` takes its position."""
        older = self._partials.get(newer.utterance) if newer.utterance is not None else None
        if older is not None:
            self.discard(older)
            older.settle(SupersededError("superseded by newer audio of the same utterance"))
        return older if newer.priority is Priority.LIVE_PARTIAL else None

    def _make_space(self, job: Job) -> bool:
        if job.priority is not Priority.LIVE_FINAL:
            return False
        newest = max(self._partials.values(), key=lambda partial: partial.submitted, default=None)
        if newest is not None:
            self.discard(newest)
            newest.settle(SupersededError("superseded by a final: the server is overloaded"))
        return True
