"""Events that wait to be emitted, in the order of the audio."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from steno.streaming.events import Event, Final, Partial, Reason, Silence
from steno.streaming.hypothesis import LocalAgreement
from steno.streaming.step_request import StepRequest
from steno.types import Hypothesis


@dataclass(slots=True, eq=False)
class OpenSegment:
    """A segment whose final is pending. Positions are samples from the start of the stream."""

    id: int
    start: int
    agreement: LocalAgreement
    submitted: int
    """End of the audio that has been submitted for recognition."""
    recognised: int
    """End of the audio for which a hypothesis has come back."""
    end: int = 0
    reason: Reason | None = None
    """Why its audio ended; None while it goes on."""
    spoken: tuple[int, int] = (0, 0)
    """From the first to the last voiced sample; set at its end."""
    speculation: StepRequest | None = None
    """The final that would come if the utterance ended in this pause; None once speech has continued."""
    speculated: Hypothesis | None = None
    """Its hypothesis, if it has come."""
    speculated_until: int = 0
    """End of the newest speculative final's audio."""
    judged_until: int | None = None
    """End of the speech before the pause that was judged last; None once speech has continued."""
    partial: Partial | None = None
    """The newest partial, if it has not been emitted yet."""


class EventQueue:
    """Emits events in order: an open segment at the head blocks the events behind it."""

    def __init__(self) -> None:
        self._queue: deque[OpenSegment | Final | Silence] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def first_segment(self) -> OpenSegment | None:
        """The first open segment."""
        for item in self._queue:
            if isinstance(item, OpenSegment):
                return item
        return None

    def append(self, item: OpenSegment | Final | Silence) -> None:
        self._queue.append(item)

    def complete(self, segment: OpenSegment, final: Final) -> None:
        self._queue[self._queue.index(segment)] = final

    def drop(self, segment: OpenSegment) -> None:
        self._queue.remove(segment)

    def emit(self, events: list[Event]) -> None:
        """Append to `events` what can be emitted now: all before the first open segment, and its newest partial."""
        while self._queue and not isinstance(head := self._queue[0], OpenSegment):
            events.append(head)
            self._queue.popleft()
        if self._queue and isinstance(head := self._queue[0], OpenSegment) and head.partial is not None:
            events.append(head.partial)
            head.partial = None
