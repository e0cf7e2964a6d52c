"""Aligns finals in order, while recognition continues."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steno.pipelines.live.live_options import LiveOptions
from steno.streaming.events import AssumedSilence, AudioProgress, Event, Final, Partial, SpeechEnded, SpeechStarted

if TYPE_CHECKING:
    from steno.types import Audio


@dataclass(slots=True, eq=False)
class _Held:
    event: Event
    options: LiveOptions
    timing: asyncio.Task[Final] | None = None

    @property
    def is_ready(self) -> bool:
        return self.timing is None or self.timing.done()


class WordTiming:
    """Forwards a stream's events in order. A final with audio is aligned first; later events are held until then, of
    partials, `AudioProgress` and `AssumedSilence` only the newest. `SpeechStarted` and `SpeechEnded` are forwarded at
    once.

    Args:
        forward: takes each event with its options.
        align: returns a final with word times. Has its own time limit; on an error the final is forwarded unchanged.
    """

    def __init__(
        self, forward: Callable[[Event, LiveOptions], None], align: Callable[[Final, Audio], Coroutine[Any, Any, Final]]
    ) -> None:
        self._forward = forward
        self._align = align
        self._held: deque[_Held] = deque()

    @property
    def waiting(self) -> int:
        """Number of held events."""
        return len(self._held)

    def take(self, event: Event, options: LiveOptions, audio: Audio | None = None) -> None:
        """Forward `event` in order. `audio`: of a final that is to be aligned."""
        overtakes = isinstance(event, SpeechStarted | SpeechEnded)
        if overtakes or (audio is None and not self._held):
            self._forward(event, options)
            return
        if isinstance(event, Partial | AudioProgress | AssumedSilence):
            self._drop_older(type(event))
        held = _Held(event, options)
        self._held.append(held)
        if audio is not None and isinstance(event, Final):
            held.timing = asyncio.create_task(self._align(event, audio), name="word times")
            held.timing.add_done_callback(lambda _: self._release())

    async def done(self) -> None:
        """Return once all events have been forwarded."""
        while self._held:
            tasks = [held.timing for held in self._held if held.timing is not None]
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Cancel alignment. Nothing more is forwarded."""
        tasks = [held.timing for held in self._held if held.timing is not None]
        self._held.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _release(self) -> None:
        while self._held and self._held[0].is_ready:
            held = self._held.popleft()
            timing = held.timing
            is_timed = timing is not None and not timing.cancelled() and timing.exception() is None
            self._forward(timing.result() if timing is not None and is_timed else held.event, held.options)

    def _drop_older(self, kind: type[Event]) -> None:
        """Drop the held event of the kind that a newer one replaces. Events before the last held final stay."""
        for held in reversed(self._held):
            if isinstance(held.event, Final):
                return
            if isinstance(held.event, kind):
                self._held.remove(held)
                return
