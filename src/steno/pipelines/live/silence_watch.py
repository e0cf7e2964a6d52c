"""Whether a live client has stopped sending audio for so long that silence may be assumed (a muted microphone)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MAX_AHEAD_S = 10.0
"""Longest time that audio which came faster than real time delays the assumption."""
HALF_LIFE_S = 60.0
"""In which half of a lead or a delay is forgotten: clocks drift, and a client that was muted has no debt."""
MAX_QUIET_S = 10.0
"""After so long, nobody waits for news of a silence any more."""
EARLY_S = 0.002
"""A timer may ring so much early: uvloop's have whole milliseconds."""
LATE_S = 0.1
"""A timer that is later than this says that the event loop was busy: the client's frame may not have been read yet."""


class SilenceWatch:
    """Measures, on the event loop's clock, how long the server has waited for the client's audio.

    A client that sends a second of audio at a time is quiet for a second between two frames, and one that sends a file
    is ahead of the clock. So the wait begins when the audio that came would have been spoken: after the last frame's
    duration, or the lead over real time if that is longer. Time in which the server does not read is not counted.

    Args:
        silence_s: the silence that ends a segment now.
        quiet: called with the seconds of silence so far, once they are `silence_s`, and again after each further
            `silence_s`, up to `MAX_QUIET_S`.
    """

    def __init__(self, silence_s: Callable[[], float], quiet: Callable[[float], None]) -> None:
        self._silence_s = silence_s
        self._quiet = quiet
        self._timer: asyncio.TimerHandle | None = None
        """Rings at `_due_at` or earlier: most frames come before it rings, and move only `_due_at`."""
        self._due_at: float | None = None
        """When it will have been quiet for long enough; None = nothing is assumed now."""
        self._listening_since: float | None = None
        self._waited_s = 0.0
        """For the client, since its last audio."""
        self._frame_s = 0.0
        self._ahead_s = 0.0
        """Audio received beyond the time that has passed; negative: less."""
        self._updated_at: float | None = None
        self._told = 0
        """How often it was quiet since the last audio."""

    def hold(self) -> None:
        """The server takes something from the client. Nothing is assumed meanwhile."""
        self._due_at = None
        if self._listening_since is not None:
            self._waited_s += asyncio.get_running_loop().time() - self._listening_since
            self._listening_since = None

    def listen(self, audio_s: float) -> None:
        """It waits for the client again, after so much new audio (0 = none came)."""
        now = asyncio.get_running_loop().time()
        if audio_s > 0:
            elapsed_s = 0.0 if self._updated_at is None else now - self._updated_at
            ahead_s = (self._ahead_s - elapsed_s) * 0.5 ** (elapsed_s / HALF_LIFE_S) + audio_s
            self._ahead_s = min(ahead_s, MAX_AHEAD_S)
            self._updated_at = now
            self._frame_s = min(audio_s, MAX_AHEAD_S)
            self._waited_s, self._told = 0.0, 0
        self._listening_since = now
        if self._updated_at is not None:
            self._arm()

    def close(self) -> None:
        """Nothing is assumed any more."""
        self.hold()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        silence_s = self._silence_s()
        if self._told * silence_s >= MAX_QUIET_S:
            return
        wait_s = max(self._frame_s, self._ahead_s) + (self._told + 1) * silence_s
        loop = asyncio.get_running_loop()
        self._due_at = due_at = loop.time() + max(wait_s - self._waited_s, 0.0)
        if self._timer is None or self._timer.when() > due_at:
            self._set_timer(due_at)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        due_at, now = self._due_at, asyncio.get_running_loop().time()
        if due_at is None:
            return
        if due_at - now > EARLY_S:
            self._set_timer(due_at)
            return
        self.hold()
        self._listening_since = now
        if now - due_at > LATE_S:
            self._waited_s = max(self._waited_s - self._silence_s(), 0.0)
        else:
            self._told += 1
            self._quiet(self._told * self._silence_s())
        self._arm()
