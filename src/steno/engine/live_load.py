"""How many live sessions fit: what a session costs is measured, and compared with what the backend does at once.

A session's load is the time for which the backend held its work, by the time for which it was open: its audio's
real-time factor times the share of speech in it. So silent sessions count for little, and talkers for what they cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MEMORY_S = 60.0
"""What was measured so long ago counts for 1/e: one slow minute is soon forgotten."""
ENOUGH_S = 10.0
"""Of open sessions, together, before their load is believed."""
USABLE_SHARE = 0.75
"""Of the backend's parallelism, for the mean load of live work: utterances that end together need the rest."""
ON_TRUST = 2
"""Sessions for each piece of work that runs at once, before anything is measured."""


SILENT = 0.05
"""Sessions whose work keeps less than this of a worker busy take none from uploads."""


class LiveLoad:
    """Counts the open sessions and the time of their work. Times are the event loop's clock, in seconds."""

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
        """Count a session as open while it lasts."""
        self.opened(clock())
        try:
            yield
        finally:
            self.closed(clock())

    def worked(self, now: float, busy_s: float) -> None:
        """The backend held a piece of live work for `busy_s`."""
        self._update(now)
        self._busy_s += busy_s

    def of_a_session(self, now: float) -> float | None:
        """Work that an open session keeps running at once, in the mean; None = not measured."""
        self._update(now)
        return self._busy_s / self._open_s if self._open_s >= ENOUGH_S else None

    def workers_kept(self, now: float) -> int:
        """How many of a backend's workers uploads should leave to the open sessions."""
        if not self.open:
            return 0
        load = self.of_a_session(now)
        if load is None:
            return 1
        total = load * self.open
        return math.ceil(total) if total >= SILENT else 0

    def room(self, now: float, parallelism: int, *, shares_steps: bool) -> int | None:
        """How many sessions fit on a backend that does `parallelism` pieces of work at once; None = as many as come.

        One always fits: a session alone is what measures anew.

        Args:
            shares_steps: the backend does all its work in common steps, so that more sessions need not cost more.
        """
        load = self.of_a_session(now)
        if load is None:
            return None if shares_steps else ON_TRUST * parallelism
        if load <= 0:
            return None
        return max(math.floor(USABLE_SHARE * parallelism / load), 1)

    def _update(self, now: float) -> None:
        passed_s = now - self._updated
        if passed_s <= 0:
            return
        self._updated = now
        fading = math.exp(-passed_s / MEMORY_S)
        self._busy_s *= fading
        self._open_s = self._open_s * fading + self.open * passed_s
