"""Counts the deaths of workers, and tells a crash loop from a single one."""

from __future__ import annotations

import asyncio

BROKEN_AFTER = 5
"""Deaths of workers, one after the other and without a result, after which requests are refused until one works."""
BROKEN_S = 15.0
"""After so many seconds one more worker is tried."""


class CrashLoop:
    """The deaths of the workers that one client had."""

    def __init__(self) -> None:
        self.deaths = 0
        """One after the other, since one gave a result."""
        self.restarts = 0
        """All deaths."""
        self.broken: str | None = None
        """Why requests are refused; None if they are not."""
        self._trial: asyncio.TimerHandle | None = None

    def died(self, reason: str) -> None:
        self.deaths += 1
        self.restarts += 1
        if self.deaths >= BROKEN_AFTER:
            self.broken = f"the worker process died {self.deaths} times in a row: {reason}"
            self.close()
            self._trial = asyncio.get_running_loop().call_later(BROKEN_S, self._try_again)

    def worked(self) -> None:
        """A worker gave a result."""
        self.deaths = 0
        self.broken = None

    def close(self) -> None:
        """Stop the timer."""
        if self._trial is not None:
            self._trial.cancel()
            self._trial = None

    def _try_again(self) -> None:
        self._trial = None
        self.broken = None
        self.deaths = min(self.deaths, BROKEN_AFTER - 1)
