"""A leaky bucket: limits the burst and the sustained rate of events."""

from __future__ import annotations

from collections.abc import Callable


class LeakyBucket:
    """Counts events, and leaks them at a constant rate.

    Args:
        capacity: max events in a burst.
        leak_per_s: sustained events per second.
        clock: monotonic seconds.
    """

    def __init__(self, capacity: float, leak_per_s: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._leak_per_s = leak_per_s
        self._clock = clock
        self._level = 0.0
        self._counted_at = clock()

    def add(self) -> bool:
        """Count an event if capacity is left. Returns whether it was counted."""
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._counted_at) * self._leak_per_s)
        self._counted_at = now
        if self._level + 1 > self._capacity:
            return False
        self._level += 1
        return True
