"""The child processes: started on demand up to a bound, reused, recycled, reaped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from steno.backends.sphinx.process import Child, Role
from steno.errors import BackendUnavailableError


@dataclass(slots=True, eq=False)
class PartialUtterance:
    """What a child has decoded of a live utterance."""

    key: str
    samples: int
    """How many it has been given."""
    normalised_on: int
    """How many of them its cepstral mean was found from."""


@dataclass(slots=True, eq=False)
class PooledChild:
    """A child and the live utterance that it holds, if any."""

    child: Child
    growing: PartialUtterance | None = None


class ChildPool:
    """Lends children of one role and priority, one user each, at most `size` at once; later callers wait in order of
    arrival.

    A child that holds a live utterance is kept for it. Where `size` is reached and another needs a place, the
    utterance that was not decoded for the longest time loses its: its next call brings all of its audio and starts
    over in another child. So more streams than places cost time, and nothing else.
    """

    def __init__(self, size: int, role: Role, *, recycle_after: int, recycle_rss_mb: float, niceness: int = 0) -> None:
        self._size = size
        self._role: Role = role
        self._niceness = niceness
        self._recycle_after = recycle_after
        self._recycle_rss_mb = recycle_rss_mb
        self._permits = asyncio.Semaphore(size)
        self._idle: list[PooledChild] = []
        """Longest unused first. With those lent and starting, for each of which a permit is held, `size` at most."""
        self._lent: set[PooledChild] = set()
        self._starting = 0
        self._stopping: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Of the children that are there to be used."""
        return [place.child.pid for place in (*self._idle, *self._lent) if place.child.usable]

    @asynccontextmanager
    async def place(self, key: str | None = None) -> AsyncIterator[PooledChild]:
        """Lend the child that holds the utterance `key`, or else any.

        Raises:
            BackendUnavailableError: the pool is closed.
            BackendCrashedError: a new child did not start.
        """
        async with self._permits:
            self._check_open()
            place = self._take(key) or await self._start()
            self._lent.add(place)
            try:
                self._check_open()
                yield place
            finally:
                self._lent.discard(place)
                self._put_back(place)

    def forget(self, key: str) -> None:
        """Free the child that holds the utterance `key`, once it is idle."""
        for place in (*self._idle, *self._lent):
            if place.growing and place.growing.key == key:
                place.growing = None

    async def close(self) -> None:
        """End all children and wait until they are gone. Calls that still run fail."""
        self._closed = True
        for place in self._lent:
            place.child.kill()
        for _ in range(self._size):  # until whoever holds a place, or waits for one, has left
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

    def _take(self, key: str | None) -> PooledChild | None:
        """An idle place: the utterance's own, a free one, or (with all places taken) one that must give way."""
        for place in [place for place in self._idle if not place.child.usable]:
            self._idle.remove(place)
            self._stop(place)
        own = [place for place in self._idle if key is not None and place.growing and place.growing.key == key]
        free = [place for place in self._idle if place.growing is None]
        is_full = len(self._idle) + len(self._lent) + self._starting >= self._size
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

    def _put_back(self, place: PooledChild) -> None:
        child = place.child
        is_worn = child.calls >= self._recycle_after or child.rss_mb >= self._recycle_rss_mb
        if self._closed or not child.usable or (is_worn and place.growing is None):
            self._stop(place)
        else:
            self._idle.append(place)

    def _stop(self, place: PooledChild) -> None:
        task = asyncio.create_task(place.child.stop(), name=f"stop sphinx child {place.child.pid}")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
