"""Admission control: counts requests and live sessions, and refuses those that exceed the capacity."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from steno.engine.counts import Counts, LocalCounts
from steno.engine.queue import Priority
from steno.engine.retries import RetrySchedule
from steno.engine.telemetry import Telemetry
from steno.errors import DrainingError, OverloadedError


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Limits of what the engine admits."""

    max_waiting: int = 32
    """Uploads that may wait, in addition to those that run."""
    max_live: int = 256
    """Max open live sessions."""
    max_live_wait_s: float = 2.0
    """While live work waits longer than this in the queue, new sessions are refused."""
    live_by_load: bool = True
    """Whether sessions are also refused when, by the measured load of open ones, no more fit."""
    request_timeout_s: float = 600.0
    idle_timeout_s: float = 120.0


UPLOAD_INTERVAL_S, LIVE_INTERVAL_S = 2.0, 5.0
"""Assumed interval between two departures of uploads, and of live sessions, before any was measured."""


class AdmissionControl:
    """Counts admitted requests and sessions.

    Args:
        counts: those of all fronts, if there are several. Reservations are each front's own.
        capacity: how many uploads the backend runs at once; may change when its model is loaded.
        live_capacity: how many live sessions fit; None = unknown or unbounded.
        live_wait_s: how long the oldest live work has been waiting.
    """

    def __init__(
        self,
        limits: AdmissionLimits,
        telemetry: Telemetry,
        *,
        capacity: Callable[[], int],
        live_capacity: Callable[[], int | None],
        live_wait_s: Callable[[], float],
        counts: Counts | None = None,
    ) -> None:
        self._limits = limits
        self._capacity = capacity
        self._live_capacity = live_capacity
        self._live_wait_s = live_wait_s
        self._telemetry = telemetry
        self._counts = counts = counts or LocalCounts()
        uploads = RetrySchedule((limits.max_waiting + 1) // 2, UPLOAD_INTERVAL_S)
        live = RetrySchedule((limits.max_live + 1) // 2, LIVE_INTERVAL_S)
        self._uploads = _AdmissionCounter("uploads", counts, uploads)
        self._live = _AdmissionCounter("live", counts, live)
        self._jobs = _AdmissionCounter("jobs", counts, RetrySchedule(0, UPLOAD_INTERVAL_S))
        """Stored jobs; their number is bounded where they are stored, so that none is refused."""
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = asyncio.Event()

    @property
    def admitted(self) -> int:
        """Number of requests and sessions that this process has admitted."""
        return self._uploads.admitted + self._live.admitted + self._jobs.admitted

    @property
    def total_admitted(self) -> int:
        """Number of requests and sessions that all fronts have admitted."""
        return self._uploads.total + self._live.total + self._jobs.total

    @property
    def is_draining(self) -> bool:
        return self._draining.is_set()

    def drain(self) -> None:
        """Refuse everything from now on."""
        self._draining.set()

    async def closed(self) -> None:
        """Return once `drain` was called."""
        await self._draining.wait()

    async def idle(self) -> None:
        """Return once no request and no session is admitted. Stored jobs do not count: they go on after a restart."""
        await self._idle.wait()

    @contextmanager
    def enter(self, priority: Priority, client: str = "") -> Iterator[None]:
        """Admit a request or session for as long as the context is open.

        Args:
            client: its address. Capacity is reserved for a client that returns at its `retry_after_s`.

        Raises:
            OverloadedError: all capacity is used or reserved; `retry_after_s` is this client's own time to retry.
            DrainingError: the server is shutting down.
        """
        loop = asyncio.get_running_loop()
        counter = self._jobs if priority is Priority.BULK else self._live if priority.is_live else self._uploads
        with self._counts.exclusive():
            self.check(priority, client)
            counter.enter(client, loop.time())
        if priority is not Priority.BULK:
            self._idle.clear()
        try:
            yield
        finally:
            counter.leave(loop.time())
            if self._uploads.admitted == self._live.admitted == 0:
                self._idle.set()

    def check(self, priority: Priority, client: str = "") -> None:
        """Raises what `enter` would raise now."""
        counter = self._live if priority.is_live else self._uploads
        now = asyncio.get_running_loop().time()
        if self.is_draining:
            self._telemetry.refused(DrainingError.code)
            raise DrainingError(
                "the server is shutting down; try another server, or this one again soon", retry_after_s=10
            )
        if priority is Priority.BULK:
            return
        reserved = counter.reserved_from(client, now)
        refusal = self._too_many_live(reserved) if priority.is_live else self._too_many_uploads(reserved)
        if refusal is not None:
            self._telemetry.refused(OverloadedError.code)
            wait_s = counter.retries.schedule(client, now)
            raise OverloadedError(f"{refusal}; try again in {wait_s:g} s", retry_after_s=wait_s)

    def _too_many_uploads(self, reserved: int) -> str | None:
        free = self._capacity() + self._limits.max_waiting - self._uploads.total
        if free <= 0:
            return f"{self._uploads.total} requests are in progress, which is the maximum"
        return _RESERVED if free <= reserved else None

    def _too_many_live(self, reserved: int) -> str | None:
        total = self._live.total
        free = self._limits.max_live - total
        if free <= 0:
            return f"{total} live sessions are open, which is the maximum"
        wait_s = self._live_wait_s()
        if wait_s > self._limits.max_live_wait_s:
            return f"open live sessions already wait {wait_s:.1f} s for their text"
        fitting = self._live_capacity()
        if fitting is not None and total >= fitting:
            return f"{total} live sessions are open, and {fitting} fit on this machine"
        free = free if fitting is None else min(free, fitting - total)
        return _RESERVED if free <= reserved else None


_RESERVED = "the free capacity is reserved for clients whose retry time has come"


class _AdmissionCounter:
    """Counts admitted uploads, or live sessions, and schedules the retries of refused clients."""

    def __init__(self, name: str, counts: Counts, retries: RetrySchedule) -> None:
        self._name = name
        self._counts = counts
        self.retries = retries
        self.admitted = 0
        """By this process."""

    @property
    def total(self) -> int:
        """Admitted by all fronts."""
        return self._counts.total(self._name)

    def reserved_from(self, client: str, now: float) -> int:
        """Free capacity that is reserved for other clients than `client`."""
        return 0 if self.retries.is_due(client, now) else self.retries.reserved(now)

    def enter(self, client: str, now: float) -> None:
        self.retries.redeem(client, now)
        self.retries.interval.entered(now)
        self.admitted += 1
        self._counts.add(self._name, +1)

    def leave(self, now: float) -> None:
        self.admitted -= 1
        self._counts.add(self._name, -1)
        self.retries.interval.left(now, self.admitted)
