"""Admission: requests and sessions are counted, and refused where there is no place for one more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from steno.engine.queue import Priority
from steno.engine.retries import RetrySchedule
from steno.engine.telemetry import Telemetry
from steno.errors import DrainingError, OverloadedError


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """How much the engine takes on."""

    max_waiting: int = 32
    """Uploads that may wait for a place beyond those that run."""
    max_live: int = 256
    """Live sessions open at once."""
    max_live_wait_s: float = 2.0
    """While live work waits longer than this for its turn, no further session is let in."""
    live_by_load: bool = True
    """Whether live sessions are also refused where, by what open ones cost, no more fit."""
    request_timeout_s: float = 600.0
    idle_timeout_s: float = 120.0


UPLOAD_GUESS_S, LIVE_GUESS_S = 2.0, 5.0
"""The interval between two ends of requests, and of sessions, before any was measured."""


class AdmissionControl:
    """Counts the requests and sessions that are in.

    Args:
        places: how many uploads the backend works on at once; it may know better once its model is loaded.
        live_room: how many live sessions fit; None = that is not known, or there is no bound.
        live_wait_s: how long the live work that has waited longest has waited by now.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        telemetry: Telemetry,
        *,
        places: Callable[[], int],
        live_room: Callable[[], int | None],
        live_wait_s: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._places = places
        self._live_room = live_room
        self._live_wait_s = live_wait_s
        self._telemetry = telemetry
        self._uploads = _PlaceCounter(RetrySchedule((limits.max_waiting + 1) // 2, UPLOAD_GUESS_S))
        self._live = _PlaceCounter(RetrySchedule((limits.max_live + 1) // 2, LIVE_GUESS_S))
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()

    @property
    def inside(self) -> int:
        """Requests and sessions that are in."""
        return self._uploads.inside + self._live.inside

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        """Refuse all newcomers from now on."""
        self._draining.set()

    async def closed(self) -> None:
        """Return once `drain` was called."""
        await self._draining.wait()

    async def idle(self) -> None:
        """Return once no request and no session is in."""
        await self._idle.wait()

    @contextmanager
    def enter(self, priority: Priority, client: str = "") -> Iterator[None]:
        """A place, while it is held.

        Args:
            client: its address. A client that comes back when it was told finds a place that was kept for it.

        Raises:
            OverloadedError: every place is taken or kept; `retry_after_s` is a moment of the client's own.
            DrainingError: the server is shutting down.
        """
        loop = asyncio.get_running_loop()
        entrance = self._live if priority.is_live else self._uploads
        self.check(priority, client)
        entrance.enter(client, loop.time())
        self._idle.clear()
        try:
            yield
        finally:
            entrance.leave(loop.time())
            if not self.inside:
                self._idle.set()

    def check(self, priority: Priority, client: str = "") -> None:
        """Raises what `enter` would raise now."""
        entrance = self._live if priority.is_live else self._uploads
        now = asyncio.get_running_loop().time()
        if self.is_draining:
            self._telemetry.refused(DrainingError.code)
            raise DrainingError(
                "the server is shutting down; ask another one, or this one again soon", retry_after_s=10
            )
        kept = entrance.kept_from(client, now)
        full = self._too_many_live(kept) if priority.is_live else self._too_many_uploads(kept)
        if full is not None:
            self._telemetry.refused(OverloadedError.code)
            wait_s = entrance.retries.promise(client, now)
            raise OverloadedError(f"{full}; try again in {wait_s:g} s", retry_after_s=wait_s)

    def _too_many_uploads(self, kept: int) -> str | None:
        free = self._places() + self._limits.max_waiting - self._uploads.inside
        if free <= 0:
            return f"{self._uploads.inside} requests are in, as many as may"
        return _PROMISED if free <= kept else None

    def _too_many_live(self, kept: int) -> str | None:
        free = self._limits.max_live - self._live.inside
        if free <= 0:
            return f"{self._live.inside} live sessions are open, as many as may"
        wait_s = self._live_wait_s()
        if wait_s > self._limits.max_live_wait_s:
            return f"the sessions that are open have to wait {wait_s:.1f} s for their text"
        room = self._live_room()
        if room is not None and self._live.inside >= room:
            return f"{self._live.inside} live sessions are open, and {room} fit on this machine"
        free = free if room is None else min(free, room - self._live.inside)
        return _PROMISED if free <= kept else None


_PROMISED = "the free places are kept for clients that were told to come now"


class _PlaceCounter:
    """The places of uploads, or those of live sessions: how many are taken, and what refused clients were told."""

    def __init__(self, retries: RetrySchedule) -> None:
        self.retries = retries
        self.inside = 0

    def kept_from(self, client: str, now: float) -> int:
        """Free places that `client` may not take."""
        return 0 if self.retries.is_due(client, now) else self.retries.kept(now)

    def enter(self, client: str, now: float) -> None:
        self.retries.redeem(client, now)
        self.retries.interval.entered(now)
        self.inside += 1

    def leave(self, now: float) -> None:
        self.inside -= 1
        self.retries.interval.left(now, self.inside)
