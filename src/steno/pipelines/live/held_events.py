"""Keeps a stream's events in order while finals are completed, and recognition continues."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeAlias

from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import SpeakersChanged
from steno.streaming.events import AssumedSilence, AudioProgress, Event, Final, Partial, SpeechEnded, SpeechStarted

Completion: TypeAlias = Coroutine[Any, Any, Final]
"""Returns a final with its details. Has its own time limit; on an error the final is forwarded unchanged."""


@dataclass(slots=True, eq=False)
class _Held:
    event: Event | SpeakersChanged
    options: LiveOptions
    completing: asyncio.Task[Final] | None = None

    @property
    def is_ready(self) -> bool:
        return self.completing is None or self.completing.done()


class HeldEvents:
    """Forwards a stream's events in order. Those after a final that is being completed are held until then, of
    partials, `AudioProgress` and `AssumedSilence` only the newest. `SpeechStarted` and `SpeechEnded` are forwarded at
    once.

    Args:
        forward: takes each event with its options.
    """

    def __init__(self, forward: Callable[[Event | SpeakersChanged, LiveOptions], None]) -> None:
        self._forward = forward
        self._held: deque[_Held] = deque()

    @property
    def waiting(self) -> int:
        """Number of held events."""
        return len(self._held)

    def take(self, event: Event | SpeakersChanged, options: LiveOptions, completion: Completion | None = None) -> None:
        """Forward `event` in order; a final once its `completion` has ended."""
        overtakes = isinstance(event, SpeechStarted | SpeechEnded)
        if overtakes or (completion is None and not self._held):
            self._forward(event, options)
            return
        if isinstance(event, Partial | AudioProgress | AssumedSilence):
            self._drop_older(type(event))
        held = _Held(event, options)
        self._held.append(held)
        if completion is not None:
            held.completing = asyncio.create_task(completion, name="complete final")
            held.completing.add_done_callback(lambda _: self._release())

    async def done(self) -> None:
        """Return once all events have been forwarded."""
        while self._held:
            tasks = [held.completing for held in self._held if held.completing is not None]
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Cancel what is being completed. Nothing more is forwarded."""
        tasks = [held.completing for held in self._held if held.completing is not None]
        self._held.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _release(self) -> None:
        while self._held and self._held[0].is_ready:
            held = self._held.popleft()
            completing = held.completing
            is_complete = completing is not None and not completing.cancelled() and completing.exception() is None
            self._forward(completing.result() if completing is not None and is_complete else held.event, held.options)

    def _drop_older(self, kind: type[Partial | AudioProgress | AssumedSilence]) -> None:
        """Drop the held event of the kind that a newer one replaces. Events before the last held final stay."""
        for held in reversed(self._held):
            if isinstance(held.event, Final):
                return
            if isinstance(held.event, kind):
                self._held.remove(held)
                return
