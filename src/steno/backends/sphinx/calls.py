"""What the recogniser and the aligner have in common: pools, PCM, a time limit in proportion to the audio, a retry."""

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
"""No word is shorter, and the front end makes NaN of less than a frame."""

RECYCLE_AFTER = 1_000
RECYCLE_RSS_MB = 512.0
"""A recogniser takes 105 to 155 MB, an aligner a third of that, and neither was seen to grow: this is for the day one
does."""


def check(audio: Audio, language: str | None) -> None:
    """Raises UnsupportedLanguageError, AudioTooLongError."""
    if language not in (None, "en"):
        raise UnsupportedLanguageError(f"PocketSphinx speaks en only, not {language}", param="language")
    if len(audio) > MAX_AUDIO_S * SAMPLE_RATE:
        raise AudioTooLongError(
            f"PocketSphinx takes {MAX_AUDIO_S:.0f} s at once, this is {len(audio) / SAMPLE_RATE:.1f} s"
        )


async def retrying(call: Callable[[], Awaitable[T]]) -> T:
    """Every call brings all of its audio, so one whose child dies is tried again, once, in a fresh child."""
    try:
        return await call()
    except DecodingTimeoutError:
        raise
    except BackendCrashedError as error:
        logger.warning("{}; trying once more in a fresh one", error)
        return await call()


def patience_s(audio: Audio) -> float:
    """Decoding takes a quarter of the audio's time on an idle core; this is for a machine twenty times as busy."""
    return 10.0 + 5.0 * len(audio) / SAMPLE_RATE


async def pcm_of(audio: Audio) -> bytes:
    """16-bit PCM of `audio`, clipped. Converted in a thread: a minute of audio takes 3 ms."""

    return await asyncio.to_thread(to_s16le, audio)


@dataclass(frozen=True, slots=True)
class ChildPools:
    """Children for uploads, of low priority, and children for live work. A process cannot get its priority back."""

    uploads: ChildPool
    live: ChildPool

    def of(self, *, is_live: bool) -> ChildPool:
        return self.live if is_live else self.uploads

    @property
    def pids(self) -> list[int]:
        """Of the children that are ready for use."""
        return [*self.uploads.pids, *self.live.pids]

    async def close(self) -> None:
        """End all children and wait until they are gone. Calls that still run fail."""
        await asyncio.gather(self.uploads.close(), self.live.close())


async def start_pools(
    owner: str, workers: int, live_workers: int, role: Role, progress: Progress, recycle_after: int = RECYCLE_AFTER
) -> ChildPools:
    """Pools with one child, whose decoder is ready. Further ones start when they are needed.

    Args:
        owner: for errors: `backend 'sphinx'` or `aligner 'sphinx'`.
        workers: children for uploads at most. Live work may have as many, or `live_workers` where those are more.

    Raises:
        BackendUnavailableError: pocketsphinx or a part of its model is missing, or it does not start.
    """
    lacking = installed.missing()
    if lacking:
        raise BackendUnavailableError(f"{owner} {lacking}")
    progress(0.0, "starting a decoder")

    def pool(size: int, niceness: int) -> ChildPool:
        return ChildPool(size, role, recycle_after=recycle_after, recycle_rss_mb=RECYCLE_RSS_MB, niceness=niceness)

    pools = ChildPools(pool(workers, UPLOAD_NICE), pool(max(workers, live_workers), 0))
    try:
        async with pools.uploads.place():
            pass
    except BackendCrashedError as error:
        await pools.close()
        raise BackendUnavailableError(f"{owner} does not start: {error}; the log has the reason") from error
    progress(1.0, "ready")
    return pools
