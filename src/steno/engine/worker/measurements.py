"""What a worker measures: collected there, sent with its reports, and replayed into the server's metrics."""

from __future__ import annotations

from collections import deque

from steno.engine.queue import Priority
from steno.engine.telemetry import NullTelemetry, Telemetry
from steno.engine.worker.worker_wire import Measurement

MAX_UNSENT = 20_000
"""Measurements kept while no server is connected; the oldest are dropped."""


class Measurements(NullTelemetry):
    """A `Telemetry` that keeps what it is told until `take`."""

    def __init__(self) -> None:
        self._unsent: deque[Measurement] = deque(maxlen=MAX_UNSENT)

    def take(self) -> tuple[Measurement, ...]:
        taken = tuple(self._unsent)
        self._unsent.clear()
        return taken

    def waited(self, priority: Priority, wait_s: float) -> None:
        self._unsent.append(Measurement("waited", (float(priority), wait_s)))

    def stepped(self, batch: int, step_s: float) -> None:
        self._unsent.append(Measurement("stepped", (float(batch), step_s)))

    def served(self, audio_s: float, busy_s: float) -> None:
        self._unsent.append(Measurement("served", (audio_s, busy_s)))

    def repeated(self) -> None:
        self._unsent.append(Measurement("repeated", ()))

    def aligned(self, audio_s: float, busy_s: float) -> None:
        self._unsent.append(Measurement("aligned", (audio_s, busy_s)))


def replay(measurement: Measurement, telemetry: Telemetry) -> None:
    """Tell `telemetry` what a worker measured."""
    match measurement.method, measurement.values:
        case "waited", (priority, wait_s):
            telemetry.waited(Priority(int(priority)), wait_s)
        case "stepped", (batch, step_s):
            telemetry.stepped(int(batch), step_s)
        case "served", (audio_s, busy_s):
            telemetry.served(audio_s, busy_s)
        case "repeated", ():
            telemetry.repeated()
        case "aligned", (audio_s, busy_s):
            telemetry.aligned(audio_s, busy_s)
