"""Turns at a resource that few may use at once: live work first, and some turns are for live work alone."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class PriorityLimiter:
    """Not thread-safe: it lives on the event loop.

    Args:
        size: turns that are held at once.
        kept: how many of them only live work may hold, so that it need not wait for other work to end.
    """

    def __init__(self, size: int, kept: int) -> None:
        self._size = size
        self._kept = kept
        self._held = 0
        self._held_by_others = 0
        self._live: deque[asyncio.Future[None]] = deque()
        self._others: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, *, is_live: bool) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Within a kind turns are taken in the order of arrival."""
        await self._wait(is_live)
        try:
            yield
        finally:
            self._give_back(is_live)

    async def _wait(self, is_live: bool) -> None:
        waiting = self._live if is_live else self._others
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._give_back(is_live)
            raise

    def _give_back(self, is_live: bool) -> None:
        self._held -= 1
        self._held_by_others -= not is_live
        self._hand_out()

    def _hand_out(self) -> None:
        while self._held < self._size and (turn := _next(self._live)):
            self._held += 1
            turn.set_result(None)
        for_others = min(self._size - self._kept - self._held_by_others, self._size - self._held)
        while for_others > 0 and (turn := _next(self._others)):
            for_others -= 1
            self._held += 1
            self._held_by_others += 1
            turn.set_result(None)


def _next(waiting: deque[asyncio.Future[None]]) -> asyncio.Future[None] | None:
    """The first whose task was not cancelled."""
    while waiting:
        turn = waiting.popleft()
        if not turn.done():
            return turn
    return None
