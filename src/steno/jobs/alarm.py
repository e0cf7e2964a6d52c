"""Waiting for work that is added, or that becomes due."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

LEAST_S = 0.05


class Alarm:
    """Call `clear`, look for work, then `wait`: work that is added in between is not missed.

    Args:
        idle_s: max seconds of a wait.
    """

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Work was added."""
        self._rung.set()

    def clear(self) -> None:
        self._rung.clear()

    async def wait(self, due: float | None) -> None:
        """Return when it rings, at `due` (Unix seconds; None = nothing is), or after a while."""
        wait_s = self._idle_s if due is None else min(max(due - time.time(), LEAST_S), self._idle_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._rung.wait()
