"""When a refused client should come back: each gets a moment of its own, and a place is kept for it.

The n-th refused client is told to wait for n departures, by the measured interval between two of them. A client that
comes when it was told finds a place that was kept for it: clients that come unasked do not get it. Clients are told
apart by their address; those that share one share their promises.
"""

from __future__ import annotations

import math
import random
from bisect import insort
from collections import Counter, deque
from collections.abc import Callable

INTERVALS = 16
"""Departures over which the interval is averaged: requests that run side by side also end side by side."""
SPACING = 1.25
"""Promises are given a little further apart than departures, so that a slow minute does not break the next ones."""
EARLY_S, LATE_S = 0.1, 5.0
"""A client may come so much before and after its moment. Then the promise is void."""
AHEAD_S = 3.0
"""Places are kept at least for the promises of so many seconds to come."""
MAX_WAIT_S = 3600.0
MAX_PROMISES = 4096
MAX_PROMISES_OF_A_CLIENT = 256
"""A client that asks on and on must not push the others' moments away."""
SHOW_UP_WEIGHT, LEAST_SHOW_UP = 0.1, 0.1


class ServiceInterval:
    """The time between two departures while requests are in, in seconds.

    Args:
        first_guess_s: what is assumed until departures are measured; it counts as one of them.
    """

    def __init__(self, first_guess_s: float) -> None:
        self._intervals: deque[float] = deque([first_guess_s], maxlen=INTERVALS)
        self._since: float | None = None

    def entered(self, now: float) -> None:
        if self._since is None:
            self._since = now

    def left(self, now: float, still_in: int) -> None:
        if self._since is not None:
            self._intervals.append(now - self._since)
        self._since = now if still_in else None

    def at(self, now: float) -> float:
        """The mean; the present interval counts as soon as it is longer than that."""
        mean_s = sum(self._intervals) / len(self._intervals)
        present_s = now - self._since if self._since is not None else 0.0
        if present_s <= mean_s:
            return mean_s
        return (sum(self._intervals) + present_s) / (len(self._intervals) + 1)


class RetrySchedule:
    """The promises of one kind of places.

    Args:
        most_kept: places that are kept at most, however many clients are due.
        first_guess_s: see `ServiceInterval`.
        jitter: a number in [0, 1) at each call; tests give another.
    """

    def __init__(self, most_kept: int, first_guess_s: float, jitter: Callable[[], float] = random.random) -> None:
        self.interval = ServiceInterval(first_guess_s)
        self._most_kept = most_kept
        self._jitter = jitter
        self._promises: list[tuple[float, str]] = []
        """Moment and client, the earliest first."""
        self._of_client: Counter[str] = Counter()
        self._show_up = 1.0
        """The share of promises that clients come back for."""

    def promise(self, client: str, now: float) -> float:
        """After how many seconds `client` should come back: whole ones, as `Retry-After` holds no others."""
        self._expire(now)
        if len(self._promises) >= MAX_PROMISES or self._of_client[client] >= MAX_PROMISES_OF_A_CLIENT:
            return max(1.0, math.ceil(min(self._promises[-1][0] - now, MAX_WAIT_S)))
        interval_s = self.interval.at(now) * SPACING * max(self._show_up, LEAST_SHOW_UP)
        wait_s = (len(self._promises) + 1) * interval_s
        wait_s = float(math.ceil(min(max(wait_s, 0.1) + self._jitter(), MAX_WAIT_S)))
        insort(self._promises, (now + wait_s, client))
        self._of_client[client] += 1
        return wait_s

    def is_due(self, client: str, now: float) -> bool:
        """Whether `client` was told to come now."""
        self._expire(now)
        return self._due(client, now) is not None

    def redeem(self, client: str, now: float) -> None:
        """`client` was let in: the promise that is due, if there is one, is kept."""
        found = self._due(client, now)
        if found is not None:
            self._drop(found, kept=True)

    def kept(self, now: float) -> int:
        """Places that only clients which are due may take."""
        self._expire(now)
        until = now + max(AHEAD_S, 2 * self.interval.at(now))
        soon = 0
        for moment, _ in self._promises:
            if moment > until or soon >= self._most_kept:
                break
            soon += 1
        return soon

    def _due(self, client: str, now: float) -> int | None:
        if not self._of_client[client]:
            return None
        for n, (moment, promised) in enumerate(self._promises):
            if moment > now + EARLY_S:
                return None
            if promised == client:
                return n
        return None

    def _expire(self, now: float) -> None:
        while self._promises and self._promises[0][0] < now - LATE_S:
            self._drop(0, kept=False)

    def _drop(self, n: int, *, kept: bool) -> None:
        _, client = self._promises.pop(n)
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]
        self._show_up += SHOW_UP_WEIGHT * (float(kept) - self._show_up)
