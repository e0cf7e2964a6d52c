"""Judges the pauses of live streams: in threads, within a time limit, and no more than can be judged in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from loguru import logger

from steno.backends.cpu import half_of_cores
from steno.request_ids import run_in_executor
from steno.turn_detection.turn_judge import TurnDetector, needs_sound

if TYPE_CHECKING:
    from steno.types import Audio, Hypothesis

TIMEOUT_S = 0.5
"""A judgement that takes longer is late: silence decides, after 500 ms by default."""
MAX_WAITING_PER_THREAD = 4
"""More pauses than this cannot be judged in time (one takes 50 ms); further ones are not judged."""

Sound: TypeAlias = "Callable[[], Awaitable[float]]"
Words: TypeAlias = "Callable[[], Awaitable[Hypothesis | None]]"
Judgement: TypeAlias = Literal["complete", "incomplete", "late", "failed"]


class TurnTelemetry(Protocol):
    def turn_judged(self, judgement: Judgement, took_s: float) -> None:
        """A pause was judged within `took_s` seconds; or it was not: `late`, `failed`."""


class TurnStage:
    """Runs the turn detector, which it loads when the first stream that uses it opens.

    Args:
        load: makes the detector, in a thread.
        threads: run the detector; by default `size` of them. Tests in virtual time replace them.
        size: number of threads; by default `half_of_cores`.
    """

    def __init__(
        self,
        telemetry: TurnTelemetry | None = None,
        load: Callable[[], TurnDetector] | None = None,
        threads: Executor | None = None,
        *,
        size: int | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._load = load or _load
        self._size = size or half_of_cores()
        self._threads = threads or ThreadPoolExecutor(self._size, thread_name_prefix="turns")
        self._loading: asyncio.Future[TurnDetector] | None = None
        self._waiting = 0

    def prepare(self) -> None:
        """Start loading the detector. Never waits."""
        if self._loading is None or (self._loading.done() and self._loading.exception() is not None):
            self._loading = run_in_executor(self._threads, self._load)
            self._loading.add_done_callback(_report_failure)

    async def completeness(self, audio: Audio) -> float:
        """How complete an utterance sounds. Raises TimeoutError if there is no capacity for it."""
        detector = await self._detector()
        if self._waiting >= self._size * MAX_WAITING_PER_THREAD:
            raise TimeoutError
        return await self._run(detector.completeness, audio)

    async def judge(self, sound: Sound, threshold: float, words: Words | None = None) -> float | None:
        """How probable it is that an utterance is complete; None if it cannot be told in time.

        Args:
            sound: tells its `completeness`; called if the recogniser does not tell whether a sentence ends.
            threshold: from which it counts as complete, in the metrics.
            words: recognises the utterance; without it, and if it returns None, the sound is judged alone.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        judgement: Judgement
        probability: float | None = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                probability = await self._probability(sound, words or _no_words)
            judgement = "complete" if probability >= threshold else "incomplete"
        except TimeoutError:
            judgement = "late"
        except Exception as error:  # noqa: BLE001 - the worker's boundary: logged; silence decides
            logger.opt(exception=error).error("turn detection failed: {}", error)
            judgement = "failed"
        if self._telemetry is not None:
            self._telemetry.turn_judged(judgement, loop.time() - began)
        return probability

    async def aclose(self) -> None:
        """End the threads, without waiting for what they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _probability(self, sound: Sound, words: Words) -> float:
        hypothesis = await words()
        completeness = await sound() if needs_sound(hypothesis) else None
        detector = await self._detector()
        return await self._run(detector.probability, hypothesis, completeness)

    async def _detector(self) -> TurnDetector:
        self.prepare()
        assert self._loading is not None
        return await asyncio.shield(self._loading)

    async def _run(self, call: Callable[..., float], *arguments: object) -> float:
        self._waiting += 1
        future = run_in_executor(self._threads, partial(call, *arguments))
        future.add_done_callback(self._done)
        return await future

    def _done(self, _: object) -> None:
        self._waiting -= 1


async def _no_words() -> None:
    return None


def _report_failure(loading: asyncio.Future[TurnDetector]) -> None:
    if not loading.cancelled() and (error := loading.exception()) is not None:
        logger.opt(exception=error).error("the turn detector could not be loaded: {}", error)


def _load() -> TurnDetector:
    from steno.turn_detection.turn_judge import TurnJudge

    return TurnJudge()
