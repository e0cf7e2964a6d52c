"""Loads the speaker embedder of live streams: in a thread, once, and again after a while if that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from loguru import logger

if TYPE_CHECKING:
    from steno.speakers.embedder import SpeakerEmbedder

RELOAD_S, MAX_RELOAD_S = 10.0, 600.0
"""From the end of a failed attempt to the next one: doubled by each failure, up to the second."""

RunInThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]


class EmbedderLoader:
    """See the module. Close it.

    Args:
        load: makes the embedder, in a thread.
        run_in_thread: runs a call.
    """

    def __init__(self, load: Callable[[], SpeakerEmbedder], run_in_thread: RunInThread) -> None:
        self._load = load
        self._run_in_thread = run_in_thread
        self._loading: asyncio.Task[SpeakerEmbedder | None] | None = None
        self._began = self._retry_at = 0.0
        """Event loop times."""
        self._failures = 0
        """Attempts that failed since the last that did not."""

    @property
    def first_attempt_s(self) -> float | None:
        """How long the embedder has been loading; None if it is not, or if an attempt has failed."""
        if self._loading is None or self._loading.done() or self._failures:
            return None
        return asyncio.get_running_loop().time() - self._began

    def start(self) -> bool:
        """Start loading, if that is due. Never waits. Returns False if the last attempt failed, also during the next
        one."""
        is_idle = self._loading is None or (self._loading.done() and self._failures > 0)
        now = asyncio.get_running_loop().time()
        if is_idle and now >= self._retry_at:
            self._began = now
            self._loading = asyncio.create_task(self._attempt(), name="load speaker embedder")
        return not self._failures

    async def embedder(self) -> SpeakerEmbedder | None:
        """The embedder, once it is loaded; None if it could not be, which was logged."""
        self.start()
        return None if self._loading is None else await asyncio.shield(self._loading)

    def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()

    async def _attempt(self) -> SpeakerEmbedder | None:
        try:
            embedder: SpeakerEmbedder = await self._run_in_thread(self._prepared)
        except Exception as error:  # noqa: BLE001 - the worker's boundary: logged; streams go without speakers
            wait_s = min(RELOAD_S * 2.0**self._failures, MAX_RELOAD_S)
            self._failures += 1
            self._retry_at = asyncio.get_running_loop().time() + wait_s
            text = "the speaker embedder could not be loaded, and is tried again after {:g} s at the earliest: {}"
            logger.opt(exception=error).error(text, wait_s, error)
            return None
        self._failures = 0
        return embedder

    def _prepared(self) -> SpeakerEmbedder:
        """The embedder. What clustering imports takes 0.3 s, in which the first final would be late; the network that
        detects overlapping speech, 0.03 s."""
        import scipy.cluster.hierarchy
        import scipy.optimize  # noqa: F401

        from steno.speakers.overlap_detector import overlap_detector

        overlap_detector()
        return self._load()
