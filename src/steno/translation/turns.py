"""A concurrency limiter with priority for live work, for which some of the limit is reserved."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PriorityLimiter:
    """Not thread-safe: use it on the event loop.

    Args:
        size: max concurrent turns.
        reserved: turns reserved for live work, so that it does not wait for other work to end.
    """

    def __init__(self, size: int, reserved: int) -> None:
        self._size = size
        self._reserved = reserved
        self._held = 0
        self._held_by_others = 0
        self._live: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, *, is_live: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Among live work, and among other work, first come, first served."""
        await self._wait(is_live)
        try:
            yield
        finally:
            self._release(is_live)

    async def _wait(self, is_live: bool) -> None:
        waiting = self._live if is_live else self._others
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        self._dispatch()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release(is_live)
            raise

    def _release(self, is_live: bool) -> None:
        self._held -= 1
        self._held_by_others -= not is_live
        self._dispatch()

    def _dispatch(self) -> None:
        while self._held < self._size and (turn := _next(self._live)):
            self._held += 1
            turn.set_result(None)
        available = min(self._size - self._reserved - self._held_by_others, self._size - self._held)
        while available > 0 and (turn := _next(self._others)):
            available -= 1
            self._held += 1
            self._held_by_others += 1
            turn.set_result(None)


def _next(waiting: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
    """Remove and return the first waiter that was not cancelled."""
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            return turn
    return None
