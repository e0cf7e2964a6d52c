"""A bounded pool of child processes: started on demand, reused, recycled, reaped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from steno.backends.sphinx.process import Child, Role
from steno.errors import BackendUnavailableError


@dataclass(slots=True, eq=False)
class PartialUtterance:
    """A live utterance that a child has partly decoded."""

    key: str
    samples: int
    """Samples that the child has received."""
    normalised_on: int
    """Samples from which its cepstral mean was computed."""


@dataclass(slots=True, eq=False)
class PooledChild:
    """A child and the live utterance that it holds, if any."""

    child: Child
    growing: PartialUtterance | None = None


class ChildPool:
    """Leases children of one role and priority, one caller each, at most `size` at once; later callers wait in order.

    A child that holds a live utterance is reserved for it. If all `size` children are reserved, the least recently
    used utterance is evicted: its next call sends all of its audio to another child. More streams than children
    therefore cost time only.
    """

    def __init__(self, size: int, role: Role, *, recycle_after: int, recycle_rss_mb: float, niceness: int = 0) -> None:
        self._size = size
        self._role: Role = role
        self._niceness = niceness
        self._recycle_after = recycle_after
        self._recycle_rss_mb = recycle_rss_mb
        self._permits = asyncio.Semaphore(size)
        self._idle: list[PooledChild] = []
        """Least recently used first. Idle, leased and starting children are at most `size`."""
        self._leased: set[PooledChild] = set()
        self._starting = 0
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of usable children."""
        return [lease.child.pid for lease in (*self._idle, *self._leased) if lease.child.usable]

    @asynccontextmanager
    async def lease(self, key: str | None = None) -> AsyncIterator[PooledChild]:
        """Lease the child that holds the utterance `key`, or else any.

        Raises:
            BackendUnavailableError: the pool is closed.
            BackendCrashedError: a new child did not start.
        """
        async with self._permits:
            self._check_open()
            lease = self._take_idle(key) or await self._start()
            self._leased.add(lease)
            try:
                self._check_open()
                yield lease
            finally:
                self._leased.discard(lease)
                self._return(lease)

    def forget(self, key: str) -> None:
        """Release the child that holds the utterance `key` for other work."""
        for lease in (*self._idle, *self._leased):
            if lease.growing and lease.growing.key == key:
                lease.growing = None

    async def close(self) -> None:
        """End all children and wait for their exit. Running calls fail."""
        self._closed = True
        for lease in self._leased:
            lease.child.kill()
        for _ in range(self._size):  # until all callers that hold or wait for a child have left
            await self._permits.acquire()
        for _ in range(self._size):
            self._permits.release()
        while self._idle:
            self._stop(self._idle.pop())
        while self._stopping:
            await asyncio.wait(self._stopping)

    def _check_open(self) -> None:
        if self._closed:
            raise BackendUnavailableError("the recogniser was unloaded")

    def _take_idle(self, key: str | None) -> PooledChild | None:
        """An idle child: the utterance's own, a free one, or (if the pool is full) that of an evicted utterance."""
        for lease in [lease for lease in self._idle if not lease.child.usable]:
            self._idle.remove(lease)
            self._stop(lease)
        own = [lease for lease in self._idle if key is not None and lease.growing and lease.growing.key == key]
        free = [lease for lease in self._idle if lease.growing is None]
        is_full = len(self._idle) + len(self._leased) + self._starting >= self._size
        chosen = own or free[-1:] or (self._idle[:1] if is_full else [])
        if not chosen:
            return None
        self._idle.remove(chosen[0])
        if not own:
            chosen[0].growing = None
        return chosen[0]

    async def _start(self) -> PooledChild:
        self._starting += 1
        try:
            return PooledChild(await Child.start(self._role, self._niceness))
        finally:
            self._starting -= 1

    def _return(self, lease: PooledChild) -> None:
        child = lease.child
        is_due_for_recycling = child.calls >= self._recycle_after or child.rss_mb >= self._recycle_rss_mb
        if self._closed or not child.usable or (is_due_for_recycling and lease.growing is None):
            self._stop(lease)
        else:
            self._idle.append(lease)

    def _stop(self, lease: PooledChild) -> None:
        task = asyncio.create_task(lease.child.stop(), name=f"stop sphinx child {lease.child.pid}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
