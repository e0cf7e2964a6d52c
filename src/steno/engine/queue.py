"""The order of work: `PriorityInferQueue`.

Jobs are taken by class, then deadline, then arrival. Every `ageing_s` that a class's next job has waited lifts it by
one class, so that a flood of live work slows uploads down but never starves them: at equal class the nearer deadline
wins, and an aged job's deadline is near. A queued partial gives way to any newer job of its utterance, which takes its
place in the order: else, where the wait is longer than a partial's cadence, none would ever come to its turn. Finals
stay. Jobs of one utterance run one after the other: a backend has one state of it.

Whether a job is still wanted is its future's to say: whoever cancels or settles it has taken it out of the queue.
"""

from __future__ import annotations

import heapq
import itertools
from asyncio import Future
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.errors import OverloadedError, StenoError, SupersededError
from steno.types import SAMPLE_RATE, Hypothesis

Work: TypeAlias = Recognize | Align
Result: TypeAlias = Hypothesis | Alignment


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
    order: float = field(default=0.0)
    """The queue's: its deadline, or that of the job whose place it took …"""
    since: float = field(default=0.0)
    """… and when that place was taken."""

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


_Entry: TypeAlias = tuple[float, int, Job]


class PriorityInferQueue:
    """Bounded. Not thread-safe: it lives on the event loop."""

    def __init__(self, capacity: int, *, ageing_s: float = 10.0) -> None:
        self._capacity = capacity
        self._ageing_s = ageing_s
        self._arrivals = itertools.count()
        self._heaps: dict[Priority, list[_Entry]] = {priority: [] for priority in Priority}
        self._waiting: set[Job] = set()
        self._partials: dict[str, Job] = {}
        self._running: dict[str, Job] = {}
        """By utterance, from `pop` to `done`."""
        self._parked: dict[str, list[_Entry]] = {}
        """Jobs that came to their turn while another of their utterance was running."""

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
        older = self._supersede(job)
        if len(self._waiting) >= self._capacity and not self._make_room(job):
            raise OverloadedError(f"{len(self._waiting)} pieces of work are waiting, as many as may")
        deadline, since = (older.order, older.since) if older else (job.deadline, job.submitted)
        job.order, job.since = deadline, since
        heapq.heappush(self._heaps[job.priority], (deadline, next(self._arrivals), job))
        self._waiting.add(job)
        if job.priority is Priority.LIVE_PARTIAL and job.utterance is not None:
            self._partials[job.utterance] = job

    def pop(self, now: float, *, live_only: bool = False) -> Job | None:
        """Take the next job that somebody still waits for, or None."""
        heads = [(self._effective_class(head, now), head.order, head.priority, head) for head in self._heads(live_only)]
        if not heads:
            return None
        job = min(heads, key=lambda entry: entry[:3])[3]
        heapq.heappop(self._heaps[job.priority])
        self.discard(job)
        if job.utterance is not None:
            self._running[job.utterance] = job
        return job

    def done(self, job: Job) -> None:
        """The backend has let go of a job that was popped; the next of its utterance may run."""
        if job.utterance is not None and self._running.get(job.utterance) is job:
            del self._running[job.utterance]
            for entry in self._parked.pop(job.utterance, ()):
                heapq.heappush(self._heaps[entry[2].priority], entry)

    def longest_live_wait_s(self, now: float) -> float:
        """How long the oldest live job has been waiting."""
        return max((now - job.since for job in self._heads(live_only=True)), default=0.0)

    def discard(self, job: Job) -> None:
        """Forget a job that is no longer wanted; one that is not here is fine. Its heap entry is skipped later."""
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
        return max(int(job.priority) - int((now - job.since) / self._ageing_s), Priority.LIVE_FINAL)

    def _supersede(self, newer: Job) -> Job | None:
        """The waiting partial whose place `newer` takes, if there is one."""
        older = self._partials.get(newer.utterance) if newer.utterance is not None else None
        if older is not None:
            self.discard(older)
            older.settle(SupersededError("a newer piece of the same utterance took its place"))
        return older if newer.priority is Priority.LIVE_PARTIAL else None

    def _make_room(self, job: Job) -> bool:
        if job.priority is not Priority.LIVE_FINAL:
            return False
        newest = max(self._partials.values(), key=lambda partial: partial.submitted, default=None)
        if newest is not None:
            self.discard(newest)
            newest.settle(SupersededError("a final took its place: the server is overloaded"))
        return True
