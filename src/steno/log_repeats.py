"""Limits repeated warnings, so that a recurring problem does not fill the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Record

WARNING = 30
"""loguru's number of the level. Lines below it are not limited."""
MOST, EVERY_S = 20, 10.0
"""Max lines from one place in the code per `EVERY_S` seconds."""


class RepeatLimit:
    """A filter for loguru; thread-safe.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str | None, int], tuple[float, int]] = {}
        """By place: start of its period, and lines since. Bounded by the number of places that log warnings."""

    def __call__(self, record: Record) -> bool:
        """Whether to log `record`. Appends the number of lines left out before, or that the limit is reached."""
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
