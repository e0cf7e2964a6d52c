"""The bounded queue of events for a live client. The stream takes no audio while it is full."""

from __future__ import annotations

import asyncio
from collections import deque

from steno.pipelines.live.notices import LiveEvent, Notice
from steno.streaming.events import AssumedSilence, AudioProgress, Final, Partial

CAPACITY = 256


class Outbox:
    """Events and notices, in order. A new partial or final replaces the segment's queued partial; a new
    `AudioProgress` or `AssumedSilence` replaces the queued one. One reader."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._items: deque[LiveEvent | Notice] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._is_closed = False
        self.takes_progress = True
        """False: `AudioProgress` is dropped, so that a reader that ignores it does not wake for each frame."""

    @property
    def is_full(self) -> bool:
        return len(self._items) >= self._capacity

    def put(self, item: LiveEvent | Notice) -> None:
        """Append an item. Never refuses; callers enforce the bound by awaiting `room`."""
        if isinstance(item, Partial | Final):
            self._remove(Partial, item.segment_id)
        elif isinstance(item, AudioProgress | AssumedSilence):
            if isinstance(item, AudioProgress) and not self.takes_progress:
                return
            self._remove(type(item), None)
        self._items.append(item)
        self._filled.set()

    async def get(self) -> LiveEvent | Notice | None:
        """The next item; None at the end."""
        while not self._items:
            if self._is_closed:
                return None
            self._filled.clear()
            await self._filled.wait()
        item = self._items.popleft()
        self._emptied.set()
        return item

    async def room(self) -> None:
        """Return once the queue is not full."""
        while self.is_full:
            self._emptied.clear()
            await self._emptied.wait()

    def close(self) -> None:
        """Accept no more items. The reader gets those queued and then None."""
        self._is_closed = True
        self._filled.set()

    def _remove(self, kind: type[Partial | AudioProgress | AssumedSilence], segment_id: int | None) -> None:
        """Remove the item that is replaced. It is among the last few, because events of a kind follow closely."""
        for n in range(len(self._items) - 1, max(len(self._items) - 9, -1), -1):
            item = self._items[n]
            if isinstance(item, kind) and (not isinstance(item, Partial) or item.segment_id == segment_id):
                del self._items[n]
                return
