"""How many live sessions fit: the measured load per session, compared with the backend's parallelism.

A session's load is the time that the backend spent on its work, divided by the time that it was open: the real-time
factor times the share of speech. Silent sessions therefore count little.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DECAY_S = 60.0
"""Time constant of the exponential decay of measurements, so that one slow minute is soon forgotten."""
MIN_OPEN_S = 10.0
"""Total open time of sessions before their measured load is used."""
USABLE_SHARE = 0.75
"""Share of the backend's parallelism for the mean live load; the rest is for utterances that end together."""
UNMEASURED_SESSIONS = 2
"""Sessions admitted per unit of parallelism before any load is measured."""


MIN_LOAD = 0.05
"""Total live load, in workers, below which no worker is reserved for live work."""


class LiveLoad:
    """Measures open sessions and the time spent on their work. Times are the event loop's clock, in seconds."""

    def __init__(self) -> None:
        self.open = 0
        self._busy_s = 0.0
        self._open_s = 0.0
        self._updated = 0.0

    def opened(self, now: float) -> None:
        self._update(now)
        self.open += 1

    def closed(self, now: float) -> None:
        self._update(now)
        self.open -= 1

    @contextmanager
    def session(self, clock: Callable[[], float]) -> Iterator[None]:
        """Count a session as open while the context is."""
        self.opened(clock())
        try:
            yield
        finally:
            self.closed(clock())

    def record_work(self, now: float, busy_s: float) -> None:
        """Record that the backend spent `busy_s` on a piece of live work."""
        self._update(now)
        self._busy_s += busy_s

    def session_load(self, now: float) -> float | None:
        """Mean number of workers that an open session keeps busy; None = not measured yet."""
        self._update(now)
        return self._busy_s / self._open_s if self._open_s >= MIN_OPEN_S else None

    def workers_reserved(self, now: float) -> int:
        """How many of the backend's workers are reserved for the open sessions."""
        if not self.open:
            return 0
        load = self.session_load(now)
        if load is None:
            return 1
        total = load * self.open
        return math.ceil(total) if total >= MIN_LOAD else 0

    def capacity(self, now: float, parallelism: int, *, shares_steps: bool) -> int | None:
        """How many sessions fit on a backend that runs `parallelism` pieces of work at once; None = unbounded.

        At least one, so that the load can be measured again.

        Args:
            shares_steps: whether the backend batches all work into common steps, where a session may cost nothing.
        """
        load = self.session_load(now)
        if load is None:
            return None if shares_steps else UNMEASURED_SESSIONS * parallelism
        if load <= 0:
            return None
        return max(math.floor(USABLE_SHARE * parallelism / load), 1)

    def _update(self, now: float) -> None:
        passed_s = now - self._updated
        if passed_s <= 0:
            return
        self._updated = now
        decay = math.exp(-passed_s / DECAY_S)
        self._busy_s *= decay
        self._open_s = self._open_s * decay + self.open * passed_s
