"""How often something may happen: so many times at once, and so many more with each second."""

from __future__ import annotations

from collections.abc import Callable


class LeakyBucket:
    """Counts what happens, and forgets it at a constant rate.

    Args:
        capacity: how many may happen at once.
        leak_per_s: how many are forgotten each second.
        clock: monotonic seconds.
    """

    def __init__(self, capacity: float, leak_per_s: float, clock: Callable[[], float]) -> None:
        self._capacity = capacity
        self._leak_per_s = leak_per_s
        self._clock = clock
        self._level = 0.0
        self._counted_at = clock()

    def add(self) -> bool:
        """Count one more, if that is within the capacity; whether it is."""
        now = self._clock()
        self._level = max(0.0, self._level - (now - self._counted_at) * self._leak_per_s)
        self._counted_at = now
        if self._level + 1 > self._capacity:
            return False
        self._level += 1
        return True
