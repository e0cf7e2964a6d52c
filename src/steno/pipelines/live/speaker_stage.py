"""Tells the speakers of live streams apart: in threads, beside recognition, and within a time limit."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from steno.backends.cpu import half_of_cores
from steno.pipelines.live.embedder_loader import EmbedderLoader, RunInThread
from steno.request_ids import run_in_executor
from steno.speakers.embedder_source import EmbedderSource
from steno.types import SAMPLE_RATE
from steno.vad.silero import FRAME

if TYPE_CHECKING:
    from steno.speakers.diarizer import Diarization
    from steno.speakers.embedder import SpeakerEmbedder
    from steno.speakers.online_diarizer import OnlineDiarizer
    from steno.speakers.voice_clusters import SpeakerCount
    from steno.types import Audio

TIMEOUT_S = 1.0
"""A final waits so long for its speakers, by default; then it is emitted without them."""
LOADING_TIMEOUT_S = 5.0
"""The same from when the embedder is first loaded, for the server's first stream with speakers. It takes 0.5 s."""
BATCH_FRAMES = 24
BATCH_S = BATCH_FRAMES * FRAME / SAMPLE_RATE
"""Audio that is embedded at once, 0.77 s: two windows, which take 45 ms."""
MAX_PENDING_S = 3.0
"""Audio that waits to be embedded: eight windows, which take 170 ms. A client that sends faster than real time is
back-pressured; of others, audio is left out, so that their text is never late."""
MAX_LOADING_S = 30.0
"""The same while the embedder is being loaded, so that a slow load loses no speech of a client in real time: 1.9 MB of
each stream."""
AHEAD_S = 1.0
"""A client is faster than real time if so much more audio has come than time has passed."""
STALL_S = 2.0
"""A client that has waited so long without progress, or as long as a final waits if that is more, waits no more: audio
is left out until there is some."""
MAX_QUESTIONS = 64
"""Finals of a stream that wait; the speakers of further ones are not told apart."""

OnChanges: TypeAlias = Callable[[Mapping[int, str]], None]
SpeakerOutcome: TypeAlias = Literal["labelled", "unknown", "late", "failed"]


class SpeakerTelemetry(Protocol):
    def speakers_labelled(self, outcome: SpeakerOutcome, waited_s: float) -> None:
        """A final waited `waited_s` seconds for its speakers. `unknown`: no speech was heard in it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    audio: Audio
    begin: int
    voiced: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """Who speaks in a segment; without an id, its audio is forgotten."""

    segment_id: int | None
    extent: tuple[float, float]
    answer: asyncio.Future[Diarization | None]
    """None: they cannot be told apart, which was logged."""


class SpeakerStage:
    """Runs the embedder, which it loads when the first stream that uses it opens.

    Args:
        load: gives the embedder, in a thread; None = the one that steno ships.
        run_in_thread: runs a call; by default in one of `size` threads. Tests in virtual time replace it.
        timeout_s: how long a final waits for its speakers.
        size: number of threads; by default `half_of_cores`.
    """

    def __init__(
        self,
        telemetry: SpeakerTelemetry | None = None,
        load: Callable[[], SpeakerEmbedder] | None = None,
        run_in_thread: RunInThread | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        size: int | None = None,
    ) -> None:
        self.telemetry = telemetry
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(size or half_of_cores(), thread_name_prefix="live speakers")
        self.run_in_thread = run_in_thread or self._run_in_thread
        self._loader = EmbedderLoader(load or EmbedderSource().load, self.run_in_thread)

    def open_stream(self, count: SpeakerCount, offset_s: float, on_changes: OnChanges | None) -> SpeakerStream:
        """Start loading the embedder, and return the speakers of a stream. Never waits.

        Args:
            offset_s: time of the stream's first sample.
            on_changes: takes the names of segments that turn out to be others than were told; None = not wanted, and
                not computed.
        """
        self._loader.start()
        return SpeakerStream(self, count, offset_s, on_changes)

    @property
    def timeout_s(self) -> float:
        """How long a final waits."""
        loading_s = self._loader.first_attempt_s
        return self._timeout_s if loading_s is None else max(LOADING_TIMEOUT_S - loading_s, self._timeout_s)

    def can_embed(self) -> bool:
        """Whether the embedder is there or is being loaded for the first time. If not, it is loaded again when that is
        due."""
        return self._loader.start()

    async def embedder(self) -> SpeakerEmbedder | None:
        """None if it could not be loaded."""
        return await self._loader.embedder()

    async def aclose(self) -> None:
        """End the threads, without waiting for what they do."""
        self._loader.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run_in_thread(self, call: Callable[[], Any]) -> Any:
        return await run_in_executor(self._threads, call)


class SpeakerStream:
    """The speakers of one stream; made by `SpeakerStage.open_stream`. Close it."""

    def __init__(
        self,
        stage: SpeakerStage,
        count: SpeakerCount,
        offset_s: float,
        on_changes: OnChanges | None,
    ) -> None:
        self._stage = stage
        self._count = count
        self._offset_s = offset_s
        self._on_changes = on_changes
        self._diarizer: OnlineDiarizer | None = None
        self._pending: list[_Heard] = []
        self._pending_s = 0.0
        self._max_pending_s = MAX_LOADING_S
        self._began = -math.inf
        """When the audio so far would have begun in real time."""
        self._heard_s = 0.0
        self._ends: deque[float] = deque(maxlen=MAX_QUESTIONS)
        self._questions: deque[_Question] = deque()
        self._working: asyncio.Task[None] | None = None
        self._progress = asyncio.Event()
        self._is_stuck = self._has_failed = False

    async def hear(self, frames: NDArray[np.float32], voiced: NDArray[np.bool_], end: int) -> None:
        """Take the stream's next frames, shape [n, samples], of which some are `voiced`; the last ends at sample
        `end`. Waits while too much is pending of a client that is faster than real time, but without progress no longer
        than `STALL_S` says. Without an embedder, what comes is left out."""
        if not self._stage.can_embed():
            return
        now = asyncio.get_running_loop().time()
        self._began = max(self._began, now - self._heard_s)  # a pause on the wire is no credit for a burst
        for first in range(0, len(frames), BATCH_FRAMES):
            part = slice(first, first + BATCH_FRAMES)
            audio = frames[part].reshape(-1)
            if self._pending_s >= MAX_PENDING_S and self._is_ahead() and not self._is_stuck:
                await self._wait_for_progress()
            self._heard_s += len(audio) / SAMPLE_RATE
            if self._pending_s < self._max_pending_s:
                begin = end - (len(frames) - first) * frames.shape[1]
                self._pending.append(_Heard(audio, begin, voiced[part]))
                self._pending_s += len(audio) / SAMPLE_RATE
            if self._pending_s >= BATCH_S:
                self._work_on()

    def end_segment(self, end_s: float) -> None:
        """A segment ends here; its `label` or `forget` follows once it has been recognised."""
        self._ends.append(end_s)

    async def label(self, segment_id: int, start_s: float, end_s: float) -> Diarization | None:
        """Who speaks in a segment, whose audio was heard; None if that cannot be told in time. Segments come in
        order."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        found: Diarization | None = None
        outcome: SpeakerOutcome
        try:
            answer = self._ask(segment_id, start_s, end_s)
            async with asyncio.timeout(self._stage.timeout_s):
                found = await answer
            outcome = "failed" if found is None else "labelled" if found.turns else "unknown"
        except TimeoutError:
            outcome = "late"
        if self._stage.telemetry is not None:
            self._stage.telemetry.speakers_labelled(outcome, loop.time() - began)
        return found

    def forget(self, start_s: float, end_s: float) -> None:
        """What was heard here is no speech, or was discarded."""
        if end_s > start_s:
            with suppress(TimeoutError):
                self._ask(None, start_s, end_s)

    async def answered(self) -> None:
        """Return once no question is open, but no later than a final waits for an answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stage.timeout_s):
                while self._working is not None and not self._working.done():
                    await asyncio.wait([self._working])

    async def aclose(self) -> None:
        """Drop what waits. What a thread does ends by itself, within milliseconds. Idempotent."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.wait([self._working])
        self._pending.clear()
        self._questions.clear()

    def _ask(self, segment_id: int | None, start_s: float, end_s: float) -> asyncio.Future[Diarization | None]:
        """Raises TimeoutError: too many questions wait."""
        answer: asyncio.Future[Diarization | None] = asyncio.get_running_loop().create_future()
        if not self._stage.can_embed():
            answer.set_result(None)
        elif len(self._questions) >= MAX_QUESTIONS:
            raise TimeoutError
        else:
            self._questions.append(_Question(segment_id, (start_s, end_s), answer))
            self._work_on()
        return answer

    def _is_ahead(self) -> bool:
        return self._heard_s - (asyncio.get_running_loop().time() - self._began) > AHEAD_S

    async def _wait_for_progress(self) -> None:
        self._progress.clear()
        try:
            async with asyncio.timeout(max(STALL_S, self._stage.timeout_s)):
                await self._progress.wait()
        except TimeoutError:
            self._is_stuck = True

    def _work_on(self) -> None:
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="live speakers")

    async def _work(self) -> None:
        """Embed what was heard, and answer questions in order, until nothing is left."""
        while self._questions or self._pending_s >= BATCH_S:
            embedder = await self._stage.embedder()
            heard, self._pending, self._pending_s = self._pending, [], 0.0
            ends = [*self._ends]
            self._ends.clear()
            question = self._questions.popleft() if self._questions else None
            try:
                if embedder is not None:
                    self._max_pending_s = MAX_PENDING_S
                    await self._turn(embedder, heard, ends, question)
            except Exception as error:  # noqa: BLE001 - the worker's boundary: logged; the final goes without speakers
                self._report(error)
            if question is not None and not question.answer.done():
                question.answer.set_result(None)
            self._is_stuck = False
            self._progress.set()

    async def _turn(
        self, embedder: SpeakerEmbedder, heard: list[_Heard], ends: list[float], question: _Question | None
    ) -> None:
        *slices, heard = _slices(heard)
        for each in slices:
            await self._stage.run_in_thread(partial(self._run, embedder, each, ends, None))
            ends = []
        found, changes = await self._stage.run_in_thread(partial(self._run, embedder, heard, ends, question))
        if question is None or question.segment_id is None or found is None:
            return
        if not question.answer.done():
            question.answer.set_result(found)
        elif (speaker := found.main_speaker) is not None:  # its final went without
            changes = {**changes, question.segment_id: speaker}
        if changes and self._on_changes is not None:
            self._on_changes(changes)

    def _report(self, error: Exception) -> None:
        """Log the first failure of a stream: a network that fails once fails at each batch of its audio."""
        if not self._has_failed:
            self._has_failed = True
            logger.opt(exception=error).error("speakers were not told apart: {}", error)

    def _run(
        self, embedder: SpeakerEmbedder, heard: list[_Heard], ends: list[float], question: _Question | None
    ) -> tuple[Diarization | None, dict[int, str]]:
        """In a thread; one call at a time."""
        from steno.speakers.online_diarizer import OnlineDiarizer

        if self._diarizer is None:
            self._diarizer = OnlineDiarizer(embedder, self._count, self._offset_s)
        for end_s in ends:
            self._diarizer.end_segment(end_s)
        for each in heard:
            self._diarizer.hear(each.audio, each.begin, each.voiced)
        if question is None:
            return None, {}
        if question.segment_id is None:
            self._diarizer.drop(*question.extent)
            return None, {}
        found = self._diarizer.label(question.segment_id, *question.extent)
        return found, {} if self._on_changes is None else self._diarizer.changes()


def _slices(heard: list[_Heard]) -> list[list[_Heard]]:
    """Parts of `MAX_PENDING_S`, and the rest: after a slow load, other streams get their turn in between. What is
    pending of a loaded network is one part. There is always a last one, which may be empty."""
    parts: list[list[_Heard]] = [[]]
    length_s = 0.0
    for each in heard:
        if length_s >= MAX_PENDING_S:
            parts.append([])
            length_s = 0.0
        parts[-1].append(each)
        length_s += len(each.audio) / SAMPLE_RATE
    return parts
