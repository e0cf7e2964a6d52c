"""Frames that wait for their VAD results, and actions that take effect between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from steno.streaming.events import Event

Action: TypeAlias = Callable[[list[Event]], None]
"""Appends its events."""


class PendingFrames:
    """Runs each action once the frames added before it have been taken."""

    def __init__(self) -> None:
        self._queue: deque[int | Action] = deque()
        """Counts of frames, and actions."""

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, frames: int) -> None:
        if frames:
            self._queue.append(frames)

    def schedule(self, action: Action) -> list[Event]:
        """Run `action` after the frames added before it; returns the events of what can be run now."""
        self._queue.append(action)
        events: list[Event] = []
        self.run_actions(events)
        return events

    def take(self, most: int, events: list[Event]) -> int:
        """Take up to `most` frames that no action separates; run the actions before them. Returns their number."""
        self.run_actions(events)
        head = self._queue.popleft()
        assert isinstance(head, int)
        if head > most:
            self._queue.appendleft(head - most)
        return min(head, most)

    def run_actions(self, events: list[Event]) -> None:
        """Run the actions that wait for no frame."""
        while self._queue and not isinstance(self._queue[0], int):
            action = self._queue.popleft()
            assert not isinstance(action, int)
            action(events)
