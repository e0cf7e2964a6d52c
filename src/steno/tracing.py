"""Spans of requests, utterances, jobs and steps: the seam between steno and what records them.

Without a tracer nothing is recorded: `active` returns None, and hot paths do nothing more than ask for it. The tracer
is one for the process, as the logger is, because everything between a request and its steps would otherwise hand it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, Protocol, TypeAlias

Attribute: TypeAlias = str | int | float | bool
Kind: TypeAlias = Literal["server", "client", "internal"]

_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


class Span(Protocol):
    """Something that takes time. Thread-safe."""

    @property
    def traceparent(self) -> str:
        """How other spans, here or in other processes, name it as their parent (W3C Trace Context)."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    def set(self, attributes: Mapping[str, Attribute]) -> None: ...

    def rename(self, name: str) -> None: ...

    def end(self, error: str | None = None) -> None:
        """`error`: why it failed; None = it did not. Idempotent."""


class Tracer(Protocol):
    def start(self, name: str, parent: str | None, kind: Kind, attributes: Mapping[str, Attribute]) -> Span:
        """Start a span. `parent`: a `traceparent`; None, or an invalid one = the span begins a trace."""


_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Record spans with `tracer` from now on; None = record none."""
    global _tracer
    _tracer = tracer


def active() -> Tracer | None:
    """The tracer; None = nothing is recorded."""
    return _tracer


def current() -> str | None:
    """The `traceparent` of the span that this task is in; None = it is in none."""
    return _current.get()


@contextmanager
def within(span: Span) -> Iterator[None]:
    """Spans that this task, and tasks that it creates, start meanwhile are children of `span`."""
    token = _current.set(span.traceparent)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def recorded(
    name: str, attributes: Mapping[str, Attribute], *, kind: Kind = "internal", parent: str | None = None
) -> Iterator[Span | None]:
    """A span while the context is open, which fails with what the context raises; None without a tracer.

    Args:
        parent: a `traceparent`; None = the span that this task is in.
    """
    if _tracer is None:
        yield None
        return
    span = _tracer.start(name, parent or _current.get(), kind, attributes)
    error: str | None = None
    try:
        with within(span):
            yield span
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        span.end(error)


def logged(span: Span | None) -> dict[str, str]:
    """What log lines say of the span."""
    return {"trace_id": span.trace_id} if span is not None else {}
