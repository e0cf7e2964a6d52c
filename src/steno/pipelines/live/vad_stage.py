"""The VAD of all live streams: runs in one thread and batches frames of many streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from steno.errors import BackendError

if TYPE_CHECKING:
    from steno.vad.silero import VadState

MAX_BATCH = 256
FRAMES_PER_TURN = 8
"""Max frames of one stream per turn, so that a stream that sends an hour at once does not delay the others."""
PAUSE_PER_STREAM_S = 0.0005
MAX_PAUSE_S = 0.02
"""Max pause between two runs, which lets frames of many streams form a batch: see `benchmarks.vad`."""

Probabilities = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Per frame: the speech probability, in [0, 1], and the level in dBFS."""


class FrameVad(Protocol):
    """A frame-wise VAD; `vad.silero.BatchedVad` outside tests."""

    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]: ...


class VadTelemetry(Protocol):
    def vad_ran(self, streams: int, frames: int, busy_s: float) -> None:
        """The VAD ran over `frames` frames of `streams` streams in `busy_s` seconds."""


class VadStream:
    """The VAD of one stream; made by `VadStage.open_stream`. One call at a time."""

    def __init__(self, stage: VadStage) -> None:
        self._stage = stage
        self.state: VadState | None = None

    async def detect(self, frames: NDArray[np.float32]) -> Probabilities:
        """Detect speech in the stream's next `frames`, shape [n, 512]. Returns two arrays of shape [n].

        Raises:
            BackendError: the VAD failed.
        """
        return await self._stage.detect(self, frames)

    def close(self) -> None:
        self._stage.close_stream(self)


@dataclass(slots=True, eq=False)
class _VadRequest:
    stream: VadStream
    frames: NDArray[np.float32]
    future: asyncio.Future[Probabilities]
    probabilities: NDArray[np.float32]
    levels: NDArray[np.float32]
    done: int = 0


class VadStage:
    """Runs the VAD. Loads its weights at the first frame; its thread ends with `aclose`.

    Args:
        load: makes the VAD, in the thread.
        thread: runs the VAD, one call at a time; by default a thread of its own. Tests in virtual time replace it.
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
        self._streams: set[VadStream] = set()
        self._waiting: list[_VadRequest] = []
        self._running: asyncio.Task[None] | None = None

    def open_stream(self) -> VadStream:
        stream = VadStream(self)
        self._streams.add(stream)
        return stream

    def close_stream(self, stream: VadStream) -> None:
        self._streams.discard(stream)

    async def aclose(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._thread.shutdown(wait=False)

    async def detect(self, stream: VadStream, frames: NDArray[np.float32]) -> Probabilities:
        if not len(frames):
            nothing = np.zeros(0, np.float32)
            return nothing, nothing
        future: asyncio.Future[Probabilities] = asyncio.get_running_loop().create_future()
        probabilities, levels = np.empty((2, len(frames)), np.float32)
        request = _VadRequest(stream, frames, future, probabilities, levels)
        self._waiting.append(request)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="vad")
        try:
            return await future
        finally:
            del future, request  # a failed future keeps its error, whose traceback keeps this frame, and the audio

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._waiting = [request for request in self._waiting if not request.future.done()]
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            try:
                busy_s, frames = await loop.run_in_executor(self._thread, self._turn, batch)
            except Exception as error:  # noqa: BLE001 - the worker's boundary: logged, delivered to the streams
                logger.opt(exception=error).error("voice activity detection failed for {} streams", len(batch))
                if self._vad is None:
                    _fail(batch)
                else:
                    await self._turn_alone(batch)
                self._waiting += [request for request in batch if not _settle(request)]
                continue
            if self._telemetry is not None and batch:
                self._telemetry.vad_ran(len(batch), frames, busy_s)
            self._waiting += [request for request in batch if not _settle(request)]
            if not any(request.done for request in self._waiting):
                await asyncio.sleep(min(len(self._streams) * PAUSE_PER_STREAM_S, MAX_PAUSE_S))

    async def _turn_alone(self, batch: list[_VadRequest]) -> None:
        """Retry a failed batch one stream at a time, from the frame that each had reached, so that only the streams
        whose own frames fail get an error."""
        loop = asyncio.get_running_loop()
        for request in batch:
            try:
                await loop.run_in_executor(self._thread, self._turn, [request])
            except Exception as error:  # noqa: BLE001 - `_run` has logged the traceback
                logger.error("voice activity detection failed for one stream: {}", type(error).__name__)
                _fail([request])

    def _turn(self, batch: list[_VadRequest]) -> tuple[float, int]:
        """Run the next few frames of each stream, in the thread. Returns the seconds and the number of frames."""
        import time

        from steno.vad.levels import frame_levels
        from steno.vad.silero import VadState

        began = time.perf_counter()
        if self._vad is None:
            self._vad = self._load()
        for request in batch:
            request.stream.state = request.stream.state or VadState()
        frames = 0
        for _ in range(FRAMES_PER_TURN):
            going = [request for request in batch if request.done < len(request.frames)]
            if not going:
                break
            next_frames = np.concatenate([request.frames[request.done] for request in going]).reshape(len(going), -1)
            probabilities = self._vad.step(
                next_frames, [request.stream.state for request in going if request.stream.state]
            )
            levels = frame_levels(next_frames.reshape(-1)).tolist()
            for request, probability, level in zip(going, probabilities.tolist(), levels, strict=True):
                request.probabilities[request.done] = probability
                request.levels[request.done] = level
                request.done += 1
            frames += len(going)
        return time.perf_counter() - began, frames


def _settle(request: _VadRequest) -> bool:
    if request.done == len(request.frames) and not request.future.done():
        request.future.set_result((request.probabilities, request.levels))
    return request.future.done()


def _fail(batch: list[_VadRequest]) -> None:
    """Fail each request with an error instance of its own."""
    for request in batch:
        if not request.future.done():
            request.future.set_exception(
                BackendError("voice activity detection failed; the server's log has the reason")
            )


def _load() -> FrameVad:
    from steno.vad.silero import BatchedVad

    return BatchedVad()
