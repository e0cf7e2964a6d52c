"""Runs an asynchronous generator for a synchronous caller."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


def in_background(items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield the items of a generator that runs in an event loop in a thread of its own. No item may be None.

    The loop and its thread end with this generator, also on Ctrl-C.
    """
    with _Loop() as loop:
        while (item := loop.call(_next(items))) is not None:
            yield item


async def _next(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)


class _Loop:
    """An event loop in a thread. Leaving the context cancels its tasks and closes its generators."""

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
