"""What the recogniser and the aligner share: child pools, PCM conversion, timeouts, a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from steno.audio.pcm import to_s16le
from steno.backends.cpu import UPLOAD_NICE
from steno.backends.sphinx import installed
from steno.backends.sphinx.pool import ChildPool
from steno.backends.sphinx.process import DecodingTimeoutError, Role
from steno.errors import AudioTooLongError, BackendCrashedError, BackendUnavailableError, UnsupportedLanguageError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.base import Progress
    from steno.types import Audio

T = TypeVar("T")

MAX_AUDIO_S = 60.0

MIN_SAMPLES = SAMPLE_RATE // 10
"""No word is shorter, and the front end computes NaN from less than a frame."""

RECYCLE_AFTER = 1_000
"""Calls after which a child is replaced."""
RECYCLE_RSS_MB = 512.0
"""A child above this is replaced. A recogniser takes 105 to 155 MB, an aligner a third of that; neither is known to
leak."""


def check(audio: Audio, language: str | None) -> None:
    """Raises UnsupportedLanguageError, AudioTooLongError."""
    if language not in (None, "en"):
        raise UnsupportedLanguageError(f"PocketSphinx supports en only, not {language}", param="language")
    if len(audio) > MAX_AUDIO_S * SAMPLE_RATE:
        raise AudioTooLongError(
            f"PocketSphinx takes at most {MAX_AUDIO_S:.0f} s of audio; this is {len(audio) / SAMPLE_RATE:.1f} s"
        )


async def with_retry(call: Callable[[], Awaitable[T]]) -> T:
    """Call, and retry once in a fresh child if the child dies: every call sends all of its audio."""
    try:
        return await call()
    except DecodingTimeoutError:
        raise
    except BackendCrashedError as error:
        logger.warning("{}; retrying in a fresh one", error)
        return await call()


def call_timeout_s(audio: Audio) -> float:
    """Timeout of a call. On an idle core decoding takes a quarter of the audio's duration; this is 20 times that."""
    return 10.0 + 5.0 * len(audio) / SAMPLE_RATE


async def pcm_of(audio: Audio) -> bytes:
    """16-bit PCM of `audio`, clipped. Converted in a thread: a minute of audio takes 3 ms."""

    return await asyncio.to_thread(to_s16le, audio)


@dataclass(frozen=True, slots=True)
class ChildPools:
    """Low-priority children for uploads, and children for live work: a process cannot raise its priority again."""

    uploads: ChildPool
    live: ChildPool

    def of(self, *, is_live: bool) -> ChildPool:
        return self.live if is_live else self.uploads

    @property
    def pids(self) -> list[int]:
        """Process ids of usable children."""
        return [*self.uploads.pids, *self.live.pids]

    async def close(self) -> None:
        """End all children and wait for their exit. Running calls fail."""
        await asyncio.gather(self.uploads.close(), self.live.close())


async def start_pools(
    owner: str, workers: int, live_workers: int, role: Role, progress: Progress, recycle_after: int = RECYCLE_AFTER
) -> ChildPools:
    """Start both pools with one ready child. Further children start on demand.

    Args:
        owner: for errors: `backend 'sphinx'` or `aligner 'sphinx'`.
        workers: max children for uploads. Live work gets as many, or `live_workers` if that is more.

    Raises:
        BackendUnavailableError: pocketsphinx or a part of its model is missing, or it does not start.
    """
    missing = installed.missing()
    if missing:
        raise BackendUnavailableError(f"{owner} {missing}")
    progress(0.0, "starting a decoder")

    def pool(size: int, niceness: int) -> ChildPool:
        return ChildPool(size, role, recycle_after=recycle_after, recycle_rss_mb=RECYCLE_RSS_MB, niceness=niceness)

    pools = ChildPools(pool(workers, UPLOAD_NICE), pool(max(workers, live_workers), 0))
    try:
        async with pools.uploads.lease():
            pass
    except BackendCrashedError as error:
        await pools.close()
        raise BackendUnavailableError(f"{owner} does not start: {error}; the log has the reason") from error
    progress(1.0, "ready")
    return pools
