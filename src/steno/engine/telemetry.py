"""What the engine tells whoever measures it: the server makes Prometheus metrics of it."""

from __future__ import annotations

from typing import Protocol

from steno.engine.queue import Priority


class Telemetry(Protocol):
    def waited(self, priority: Priority, wait_s: float) -> None:
        """A job left the queue for the backend."""

    def stepped(self, batch: int, step_s: float) -> None:
        """The backend ran one step, or one call, over `batch` pieces of work."""

    def served(self, audio_s: float, busy_s: float) -> None:
        """A job's result was delivered: seconds of audio, and the seconds the backend held it."""

    def failed(self, code: str) -> None:
        """A job ended with an error, an expired deadline included."""

    def refused(self, code: str) -> None:
        """A request was not let in."""


class Silent:
    """Measures nothing."""

    def waited(self, priority: Priority, wait_s: float) -> None: ...

    def stepped(self, batch: int, step_s: float) -> None: ...

    def served(self, audio_s: float, busy_s: float) -> None: ...

    def failed(self, code: str) -> None: ...

    def refused(self, code: str) -> None: ...
