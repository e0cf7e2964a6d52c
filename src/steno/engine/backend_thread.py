"""Loads and unloads a backend, and runs a `StepBackend`'s calls in a thread of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from steno.backends.base import AsyncBackend, Progress, StepBackend
from steno.request_ids import run_in_executor

T = TypeVar("T")


class BackendThread:
    """One thread for all calls of a `StepBackend`. An `AsyncBackend` is awaited on the event loop.

    Args:
        run_in_thread: replaces the thread; for tests in virtual time.
    """

    def __init__(
        self,
        backend: AsyncBackend | StepBackend,
        run_in_thread: Callable[[Callable[[], object]], Awaitable[object]] | None = None,
    ) -> None:
        self._backend = backend
        self._executor: ThreadPoolExecutor | None = None
        self.run: Callable[[Callable[[], object]], Awaitable[object]] = run_in_thread or self._run

    async def load(self, progress: Progress) -> None:
        backend = self._backend
        if isinstance(backend, StepBackend):
            await self.run(lambda: backend.load(progress))
        else:
            await backend.load(progress)

    async def unload(self) -> None:
        backend = self._backend
        if isinstance(backend, StepBackend):
            await self.run(backend.unload)
        else:
            await backend.unload()

    def close(self) -> None:
        """End the thread. No call may be running."""
        if self._executor is not None:
            self._executor.shutdown(wait=False)

    async def _run(self, call: Callable[[], T]) -> T:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._backend.name)
        return await run_in_executor(self._executor, call)
