"""A trouble that repeats itself must not fill the disk: of the same warning only the first lines are logged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Record

WARNING = 30
"""loguru's number: below it each line is news, such as a request that was answered."""
MOST, EVERY_S = 20, 10.0
"""Lines from one place of the code in so many seconds."""


class RepeatLimit:
    """A filter for loguru; thread-safe.

    Args:
        clock: in seconds; tests give another.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str | None, int], tuple[float, int]] = {}
        """By place: when its period began, and the lines since. As many as there are places that log warnings."""

    def __call__(self, record: Record) -> bool:
        """Whether to log `record`; says in it how many before it were not, and that further ones will not be."""
        if record["level"].no < WARNING:
            return True
        place = record["name"], record["line"]
        now = self._clock()
        with self._lock:
            began, count = self._seen.get(place, (now, 0))
            left_out = 0
            if now - began >= EVERY_S:
                began, count, left_out = now, 0, max(count - MOST, 0)
            self._seen[place] = began, count + 1
        if left_out:
            record["message"] += f" ({left_out} like this were left out before)"
        if count + 1 == MOST:
            record["message"] += f" (further ones like this are left out for {EVERY_S:g} s)"
        return count < MOST
