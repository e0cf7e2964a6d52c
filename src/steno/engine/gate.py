"""Who is let in: requests and sessions are counted, and refused where there is no place for one more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from steno.engine.queue import Priority
from steno.engine.telemetry import Telemetry
from steno.errors import DrainingError, OverloadedError


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the engine takes on."""

    max_waiting: int = 32
    """Uploads that may wait for a place beyond those that run."""
    max_live: int = 256
    """Live sessions open at once."""
    max_live_wait_s: float = 2.0
    """While live work waits longer than this for its turn, no further session is let in."""
    request_timeout_s: float = 600.0
    idle_timeout_s: float = 120.0


class Gate:
    """Counts who is in.

    Args:
        places: how many uploads the backend works on at once; it may know better once its model is loaded.
        live_wait_s: how long the live work that has waited longest has waited by now.
    """

    def __init__(
        self, limits: Limits, places: Callable[[], int], live_wait_s: Callable[[], float], telemetry: Telemetry
    ) -> None:
        self._limits = limits
        self._places = places
        self._live_wait_s = live_wait_s
        self._telemetry = telemetry
        self._uploads = 0
        self._live = 0
        self._rate = ServiceRate()
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()

    @property
    def inside(self) -> int:
        """Requests and sessions that are in."""
        return self._uploads + self._live

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        """Let nobody in any more."""
        self._draining.set()

    async def closed(self) -> None:
        """Return once `drain` was called."""
        await self._draining.wait()

    async def idle(self) -> None:
        """Return once nobody is in."""
        await self._idle.wait()

    @contextmanager
    def enter(self, priority: Priority) -> Iterator[None]:
        """A place, while it is held.

        Raises:
            OverloadedError: every place is taken; `retry_after_s` from the measured service rate.
            DrainingError: the server is shutting down.
        """
        self.check(priority)
        loop = asyncio.get_running_loop()
        self._count(priority, +1)
        self._rate.entered(loop.time())
        try:
            yield
        finally:
            self._count(priority, -1)
            self._rate.left(loop.time(), self.inside)

    def check(self, priority: Priority) -> None:
        """Raises what `enter` would raise now."""
        if self.is_draining:
            self._telemetry.refused(DrainingError.code)
            raise DrainingError(
                "the server is shutting down; ask another one, or this one again soon", retry_after_s=10
            )
        full = self._too_many_live() if priority.is_live else self._too_many_uploads()
        if full is not None:
            self._telemetry.refused(OverloadedError.code)
            raise OverloadedError(f"{full}; try again later", retry_after_s=self.retry_after_s())

    def retry_after_s(self) -> float:
        """When somebody who is refused now should come back: once the requests that wait have been served."""
        return self._rate.time_for(max(self._uploads - self._places(), 1))

    def _too_many_uploads(self) -> str | None:
        is_full = self._uploads >= self._places() + self._limits.max_waiting
        return f"{self._uploads} requests are in, as many as may" if is_full else None

    def _too_many_live(self) -> str | None:
        if self._live >= self._limits.max_live:
            return f"{self._live} live sessions are open, as many as may"
        wait_s = self._live_wait_s()
        if wait_s > self._limits.max_live_wait_s:
            return f"the sessions that are open have to wait {wait_s:.1f} s for their text"
        return None

    def _count(self, priority: Priority, change: int) -> None:
        if priority.is_live:
            self._live += change
        else:
            self._uploads += change
        if self.inside:
            self._idle.clear()
        else:
            self._idle.set()


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
