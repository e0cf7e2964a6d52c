"""The queue of events for the consumer. Bounded, because reading audio pauses until its finals are taken."""

from __future__ import annotations

import asyncio
from collections import deque

from steno.client.messages import Event, Final, Partial


class Inbox:
    """Events in order. A new partial or final replaces the segment's last partial. One reader."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._events)

    def put(self, event: Event) -> None:
        last = self._events[-1] if self._events else None
        if isinstance(last, Partial) and isinstance(event, Partial | Final) and last.segment_id == event.segment_id:
            self._events.pop()
        self._events.append(event)
        self._changed.set()

    def close(self) -> None:
        """Accept no more events. The reader gets those queued, and then None."""
        self._is_closed = True
        self._changed.set()

    async def get(self) -> Event | None:
        while not self._events:
            if self._is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()
