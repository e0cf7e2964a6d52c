"""`Retry-After` times: each refused client gets its own time to retry, and capacity is reserved for it then.

The n-th refused client is asked to wait for n departures, by the measured interval between departures. Other clients
do not get the reserved capacity. Clients are identified by address; those that share one share their retry times.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable

AVERAGED_INTERVALS = 16
"""Departures over which the interval is averaged, because requests that run in parallel also end together."""
SPACING = 1.25
"""Retry times are spaced a little wider than departures, so that a slow minute does not void the next ones."""
EARLY_S, LATE_S = 0.1, 5.0
"""How much earlier or later than its retry time a client may come and still use its reservation."""
RESERVE_AHEAD_S = 3.0
"""Capacity is reserved for retries of at least this many seconds ahead."""
MAX_WAIT_S = 3600.0
MAX_RETRIES = 4096
MAX_RETRIES_PER_CLIENT = 256
"""Limit per client, so that one that keeps retrying does not delay the others."""
RETURN_RATE_WEIGHT, MIN_RETURN_RATE = 0.1, 0.1


class ServiceInterval:
    """The time between two departures while any request is admitted, in seconds.

    Args:
        initial_s: assumed until departures are measured; counts as one of them.
    """

    def __init__(self, initial_s: float) -> None:
        self._intervals: deque[float] = deque([initial_s], maxlen=AVERAGED_INTERVALS)
        self._since: float | None = None

    def entered(self, now: float) -> None:
        if self._since is None:
            self._since = now

    def left(self, now: float, admitted: int) -> None:
        if self._since is not None:
            self._intervals.append(now - self._since)
        self._since = now if admitted else None

    def mean_s(self, now: float) -> float:
        """The mean interval. The current one is included once it is longer than the mean."""
        mean = sum(self._intervals) / len(self._intervals)
        present_s = now - self._since if self._since is not None else 0.0
        if present_s <= mean:
            return mean
        return (sum(self._intervals) + present_s) / (len(self._intervals) + 1)


class RetrySchedule:
    """The retry times of uploads, or of live sessions.

    Args:
        max_reserved: max capacity that is reserved, however many clients are due.
        initial_s: see `ServiceInterval`.
        jitter: returns a number in [0, 1); replaced in tests.
    """

    def __init__(self, max_reserved: int, initial_s: float, jitter: Callable[[], float] = random.random) -> None:
        self.interval = ServiceInterval(initial_s)
        self._max_reserved = max_reserved
        self._jitter = jitter
        self._retries: list[tuple[float, str]] = []
        """Retry time and client, the earliest first."""
        self._per_client: Counter[str] = Counter()
        self._return_rate = 1.0
        """Share of refused clients that come back."""

    def schedule(self, client: str, now: float) -> float:
        """After how many seconds `client` should retry: whole seconds, as `Retry-After` requires."""
        self._expire(now)
        if len(self._retries) >= MAX_RETRIES or self._per_client[client] >= MAX_RETRIES_PER_CLIENT:
            return max(1.0, math.ceil(min(self._retries[-1][0] - now, MAX_WAIT_S)))
        interval_s = self.interval.mean_s(now) * SPACING * max(self._return_rate, MIN_RETURN_RATE)
        wait_s = (len(self._retries) + 1) * interval_s
        wait_s = float(math.ceil(min(max(wait_s, 0.1) + self._jitter(), MAX_WAIT_S)))
        insort(self._retries, (now + wait_s, client))
        self._per_client[client] += 1
        return wait_s

    def is_due(self, client: str, now: float) -> bool:
        """Whether the retry time of `client` is now."""
        self._expire(now)
        return self._due(client, now) is not None

    def redeem(self, client: str, now: float) -> None:
        """`client` was admitted: use up its reservation that is due, if any."""
        found = self._due(client, now)
        if found is not None:
            self._drop(found, reserved=True)

    def reserved(self, now: float) -> int:
        """Capacity that is reserved for clients whose retry time is near."""
        self._expire(now)
        until = now + max(RESERVE_AHEAD_S, 2 * self.interval.mean_s(now))
        due_soon = 0
        for retry_at, _ in self._retries:
            if retry_at > until or due_soon >= self._max_reserved:
                break
            due_soon += 1
        return due_soon

    def _due(self, client: str, now: float) -> int | None:
        if not self._per_client[client]:
            return None
        for n, (retry_at, scheduled) in enumerate(self._retries):
            if retry_at > now + EARLY_S:
                return None
            if scheduled == client:
                return n
        return None

    def _expire(self, now: float) -> None:
        while self._retries and self._retries[0][0] < now - LATE_S:
            self._drop(0, reserved=False)

    def _drop(self, n: int, *, reserved: bool) -> None:
        _, client = self._retries.pop(n)
        self._per_client[client] -= 1
        if not self._per_client[client]:
            del self._per_client[client]
        self._return_rate += RETURN_RATE_WEIGHT * (float(reserved) - self._return_rate)
