"""Asynchronous events for a caller that is not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The items, made by an event loop in a thread of its own, which ends with this. None of them is None.

    Whatever interrupts the caller, Ctrl-C included, ends it all.
    """
    with _Loop() as loop:
        while (item := loop.call(_next(items))) is not None:
            yield item


async def _next(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)


class _Loop:
    """An event loop in a thread. Leaving it cancels what runs there and closes its generators."""

    def __enter__(self) -> _Loop:
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),), name="steno stream", daemon=True)
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _run(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._is_up.set()
        await self._stopping.wait()
