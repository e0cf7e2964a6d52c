"""Who speaks when, for all live streams together: one VAD, off the event loop, a frame of many streams at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from steno.errors import BackendError

if TYPE_CHECKING:
    from steno.vad.silero import VadState

MAX_BATCH = 256
FRAMES_PER_TURN = 8
"""A stream that brings more waits for its next turn: one that sends an hour at once holds nobody up."""
PAUSE_PER_STREAM_S = 0.0005
MAX_PAUSE_S = 0.02
"""Between two runs, so that frames of many streams meet in a batch: alone a frame costs 65 µs, among 32 it costs 29."""

Probabilities = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of each frame: how likely it is speech, in [0, 1], and its level in dBFS."""


class FrameVad(Protocol):
    """As `vad.silero.BatchedVad`, which it is."""

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]: ...


class VadTelemetry(Protocol):
    def heard(self, streams: int, frames: int, busy_s: float) -> None:
        """A run of the VAD over frames of so many streams."""


class VadStream:
    """One stream's place; made by `VadStage.listen`. One call at a time."""

    def __init__(self, hearing: VadStage) -> None:
        self._hearing = hearing
        self.state: VadState | None = None

    async def hear(self, frames: NDArray[np.float32]) -> Probabilities:
        """`frames`: shape [n, 512], the stream's next. Returns two arrays of shape [n].

        Raises:
            BackendError: they could not be judged.
        """
        return await self._hearing.hear(self, frames)

    def close(self) -> None:
        self._hearing.forget(self)


@dataclass(slots=True, eq=False)
class _VadRequest:
    ear: VadStream
    frames: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    future: asyncio.Future[Probabilities]
    done: int = 0
    levels: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


class VadStage:
    """The stage. Its weights are loaded at the first frame; its thread ends with `aclose`.

    Args:
        load: makes the VAD, in the thread.
        thread: where it runs, one call at a time; by default a thread of its own. Tests in virtual time give another.
    """

    def __init__(
        self,
        telemetry: VadTelemetry | None = None,
        load: Callable[[], FrameVad] | None = None,
        thread: Executor | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._load = load or _load
        self._vad: FrameVad | None = None
        self._thread = thread or ThreadPoolExecutor(1, thread_name_prefix="vad")
        self._ears: set[VadStream] = set()
        self._waiting: list[_VadRequest] = []
        self._running: asyncio.Task[None] | None = None

    def listen(self) -> VadStream:
        ear = VadStream(self)
        self._ears.add(ear)
        return ear

    def forget(self, ear: VadStream) -> None:
        self._ears.discard(ear)

    async def aclose(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._thread.shutdown(wait=False)

    async def hear(self, ear: VadStream, frames: NDArray[np.float32]) -> Probabilities:
        if not len(frames):
            nothing = np.zeros(0, np.float32)
            return nothing, nothing
        loop = asyncio.get_running_loop()
        request = _VadRequest(ear, frames, np.empty(len(frames), np.float32), loop.create_future())
        self._waiting.append(request)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="vad")
        return await request.future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._waiting = [request for request in self._waiting if not request.future.done()]
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                busy_s, frames = await loop.run_in_executor(self._thread, self._turn, batch)
            except Exception as error:  # noqa: BLE001 - the worker's boundary: logged, and delivered to those concerned
                logger.opt(exception=error).error("voice activity detection failed for {} streams", len(batch))
                if self._vad is None:
                    _fail(batch)
                else:
                    await self._turn_alone(batch)
                self._waiting += [request for request in batch if not _settle(request)]
                continue
            if self._telemetry is not None and batch:
                self._telemetry.heard(len(batch), frames, busy_s)
            self._waiting += [request for request in batch if not _settle(request)]
            if not any(request.done for request in self._waiting):
                await asyncio.sleep(min(len(self._ears) * PAUSE_PER_STREAM_S, MAX_PAUSE_S))

    async def _turn_alone(self, batch: list[_VadRequest]) -> None:
        """After a run that failed: each stream goes on by itself, from the frame that it had come to, so that only
        those whose own frames fail end."""
        loop = asyncio.get_running_loop()
        for request in batch:
            try:
                await loop.run_in_executor(self._thread, self._turn, [request])
            except Exception as error:  # noqa: BLE001 - as in `_run`, which has logged how
                logger.error("voice activity detection failed for one stream: {}", type(error).__name__)
                _fail([request])

    def _turn(self, batch: list[_VadRequest]) -> tuple[float, int]:
        """In the thread: the next few frames of each. Returns the seconds and the frames it took."""
        import time

        from steno.vad.levels import frame_levels
        from steno.vad.silero import VadState

        began = time.perf_counter()
        if self._vad is None:
            self._vad = self._load()
        frames = 0
        for request in batch:
            request.ear.state = request.ear.state or VadState()
            if not request.done:
                request.levels = frame_levels(request.frames.reshape(-1))
        for _ in range(FRAMES_PER_TURN):
            going = [request for request in batch if request.done < len(request.frames)]
            if not going:
                break
            next_frames = np.stack([request.frames[request.done] for request in going])
            heard = self._vad.step(next_frames, [request.ear.state for request in going if request.ear.state])
            for request, probability in zip(going, heard, strict=True):
                request.probabilities[request.done] = probability
                request.done += 1
            frames += len(going)
        return time.perf_counter() - began, frames


def _settle(request: _VadRequest) -> bool:
    if request.done == len(request.frames) and not request.future.done():
        request.future.set_result((request.probabilities, request.levels))
    return request.future.done()


def _fail(batch: list[_VadRequest]) -> None:
    """Each gets an error of its own."""
    for request in batch:
        if not request.future.done():
            request.future.set_exception(
                BackendError("voice activity detection failed; the server's log has the reason")
            )


def _load() -> FrameVad:
    from steno.vad.silero import BatchedVad

    return BatchedVad()
