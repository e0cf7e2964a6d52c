"""Which request, live session or stored job the log lines of a task, and of the threads that work for it, are about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from loguru import logger

T = TypeVar("T")
_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def current() -> str | None:
    """The id of the request that this task works for; None = for none."""
    return _current.get()


@contextmanager
def within(request_id: str, **more: str) -> Iterator[None]:
    """Log lines of this task, and of tasks that it creates, have `request_id`, and `more` beside it."""
    token = _current.set(request_id)
    try:
        with logger.contextualize(request_id=request_id, **more):
            yield
    finally:
        _current.reset(token)


@contextmanager
def about(request_ids: Iterable[str | None]) -> Iterator[None]:
    """Log lines of this task, which belongs to no request, have the ids of those that it works for. None = of no
    request: adds no id."""
    known = [request_id for request_id in request_ids if request_id is not None]
    if not known:
        yield
    elif len(known) == 1:
        with within(known[0]):
            yield
    else:
        with logger.contextualize(request_id=_Several(known)):
            yield


def run_in_executor(executor: Executor, call: Callable[[], T]) -> asyncio.Future[T]:
    """Like the event loop's, but log lines of `call` are about the requests that this task works for."""
    return asyncio.get_running_loop().run_in_executor(executor, copy_context().run, call)


class _Several:
    """Ids as text, which is made only for a line that is written: a step has as many as it has slots."""

    def __init__(self, request_ids: Sequence[str]) -> None:
        self._request_ids = request_ids

    def __str__(self) -> str:
        return ",".join(dict.fromkeys(self._request_ids))
