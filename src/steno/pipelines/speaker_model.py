"""The network that tells speakers apart, loaded when it is first needed, and the threads that it runs in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from steno.backends.cpu import yield_to_live_work

if TYPE_CHECKING:
    from steno.speakers.embedder import SpeakerEmbedder

T = TypeVar("T")

SPEAKER_THREADS = 2
"""Recordings whose speakers are computed at once: live streams and recognition need the CPU too."""


class SpeakerModel:
    """Close it. `model_id`: as `SPEAKER_MODEL_ID`; None = the network that steno ships."""

    def __init__(self, model_id: str | None = None) -> None:
        self.model_id = model_id
        self._embedder: SpeakerEmbedder | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(SPEAKER_THREADS, "speakers", initializer=yield_to_live_work)

    async def run(self, work: Callable[[SpeakerEmbedder], T]) -> T:
        """Run `work` in a thread. Raises ModelLoadError, and what `work` raises."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(self._loaded()))

    def close(self) -> None:
        """Start no more work. What runs ends by itself, in about a second."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _loaded(self) -> SpeakerEmbedder:
        from steno.speakers.embedder_choice import load_embedder

        with self._lock:
            self._embedder = self._embedder or load_embedder(self.model_id)
            return self._embedder
