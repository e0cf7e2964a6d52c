"""The network that tells the speakers of recordings apart, and the threads that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from steno.backends.cpu import yield_to_live_work
from steno.errors import ModelLoadError
from steno.request_ids import run_in_executor
from steno.speakers.embedder_source import EmbedderSource

if TYPE_CHECKING:
    from steno.speakers.embedder import SpeakerEmbedder

T = TypeVar("T")

SPEAKER_THREADS = 2
"""Recordings whose speakers are computed at once: live streams and recognition need the CPU too."""


class SpeakerModel:
    """Close it. `source`: has the network, which is loaded when it is first needed; None = the one that steno ships."""

    def __init__(self, source: EmbedderSource | None = None) -> None:
        self._source = source or EmbedderSource()
        self._threads = ThreadPoolExecutor(SPEAKER_THREADS, "speakers", initializer=yield_to_live_work)

    @property
    def model_id(self) -> str | None:
        """As `SPEAKER_MODEL_ID`."""
        return self._source.model_id

    async def run(self, work: Callable[[SpeakerEmbedder], T]) -> T:
        """Run `work` in a thread. Raises ModelLoadError, and what `work` raises."""
        return await run_in_executor(self._threads, lambda: work(self._embedder()))

    def _embedder(self) -> SpeakerEmbedder:
        """The embedder. A failure is logged, as the caller may tell it to the client alone."""
        try:
            return self._source.load()
        except ModelLoadError as error:
            logger.opt(exception=error).error("the speaker embedder could not be loaded: {}", error.message)
            raise

    def close(self) -> None:
        """Start no more work. What runs ends by itself, in about a second."""
        self._threads.shutdown(wait=False, cancel_futures=True)
