"""The spans of one job: in the front, which submits it, and of its step, in the process that has the backend."""

from __future__ import annotations

from dataclasses import dataclass

from steno import tracing
from steno.backends.base import UsesDrafts, UsesServers


@dataclass(slots=True)
class JobTrace:
    """The spans of one job in this process. `parent`: the `traceparent` of what its steps belong to."""

    parent: str
    span: tracing.Span | None = None
    """None in a worker: the front has it."""
    step: tracing.Span | None = None

    def step_began(self, tracer: tracing.Tracer) -> None:
        self.step = tracer.start("step", self.parent, "internal", {})

    def step_ended(self, backend: object, batch: int, error: str | None) -> None:
        """`batch`: requests in the step with which it ended, or in the call. No-op without a step."""
        if self.step is None:
            return
        self.step.set({"steno.backend": str(getattr(backend, "name", "")), "steno.batch_size": batch})
        if isinstance(backend, UsesDrafts | UsesServers):
            self.step.set({"steno.path": backend.path})
        self.step.end(error)
        self.step = None


def remote_trace(traceparent: str | None) -> JobTrace | None:
    """Of a job that another process has submitted; None without a tracer, here or there."""
    return JobTrace(traceparent) if traceparent is not None and tracing.active() is not None else None


def begin_step(trace: JobTrace) -> None:
    if (tracer := tracing.active()) is not None:
        trace.step_began(tracer)
