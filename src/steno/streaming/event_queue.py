"""What is still to be told of a stream, in the order of its audio."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from steno.streaming.events import Event, Final, Partial, Reason, Silence
from steno.streaming.hypothesis import LocalAgreement


@dataclass(slots=True, eq=False)
class OpenSegment:
    """A stretch of speech without its final. All but `id` and the texts are samples from the stream's beginning."""

    id: int
    start: int
    agreement: LocalAgreement
    seen: int
    """Up to where its audio has been handed to the recogniser …"""
    heard: int
    """… and up to where a hypothesis has come back."""
    end: int = 0
    reason: Reason | None = None
    """Set once its audio is complete."""
    spoken: tuple[int, int] = (0, 0)
    partial: Partial | None = None
    """The newest, if it has not been told yet."""


class EventQueue:
    """Whatever stands at its head and is under way holds up the rest."""

    def __init__(self) -> None:
        self._items: deque[OpenSegment | Final | Silence] = deque()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def first_segment(self) -> OpenSegment | None:
        """The first that is under way."""
        return next((item for item in self._items if isinstance(item, OpenSegment)), None)

    def append(self, item: OpenSegment | Final | Silence) -> None:
        self._items.append(item)

    def complete(self, segment: OpenSegment, final: Final) -> None:
        self._items[self._items.index(segment)] = final

    def drop(self, segment: OpenSegment) -> None:
        self._items.remove(segment)

    def tell(self, events: list[Event]) -> None:
        """Add what can be told by now: all before the first segment that is under way, and its newest partial."""
        while self._items and not isinstance(head := self._items[0], OpenSegment):
            events.append(head)
            self._items.popleft()
        if self._items and isinstance(head := self._items[0], OpenSegment) and head.partial is not None:
            events.append(head.partial)
            head.partial = None
