"""Measurements that the engine reports; the server turns them into Prometheus metrics."""

from __future__ import annotations

from typing import Protocol

from steno.engine.queue import Priority


class Telemetry(Protocol):
    def waited(self, priority: Priority, wait_s: float) -> None:
        """A job left the queue for the backend."""

    def stepped(self, batch: int, step_s: float) -> None:
        """The backend ran one step, or one call, over `batch` pieces of work."""

    def served(self, audio_s: float, busy_s: float) -> None:
        """A job's result was delivered: seconds of audio, and seconds that the backend spent on it."""

    def repeated(self) -> None:
        """A repetition loop of the recogniser was cut, in a final result."""

    def failed(self, code: str) -> None:
        """A job ended with an error, an expired deadline included."""

    def refused(self, code: str) -> None:
        """A request or session was refused."""

    def aligned(self, audio_s: float, busy_s: float) -> None:
        """An alignment was delivered: seconds of audio, and seconds that the aligner spent on it."""


class NullTelemetry:
    """Discards all measurements."""

    def waited(self, priority: Priority, wait_s: float) -> None: ...

    def stepped(self, batch: int, step_s: float) -> None: ...

    def served(self, audio_s: float, busy_s: float) -> None: ...

    def repeated(self) -> None: ...

    def failed(self, code: str) -> None: ...

    def refused(self, code: str) -> None: ...

    def aligned(self, audio_s: float, busy_s: float) -> None: ...


class AlignerTelemetry(NullTelemetry):
    """Reports only the speed of an aligner's jobs. Waits and steps are measured for recognition alone."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def served(self, audio_s: float, busy_s: float) -> None:
        self._telemetry.aligned(audio_s, busy_s)
