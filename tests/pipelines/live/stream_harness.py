"""Live streams in virtual time: the real engine, session and stages; a VAD that hears loudness, scripted backends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.engine_kinds import new_engine
from engine.virtual import now, step_engine
from steno.backends.base import Capabilities, Progress, Recognize
from steno.captions.cues import CueStyle
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.pipelines.live.live_context import LiveContext, LiveSettings
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import LiveEvent, Notice
from steno.pipelines.live.service import LiveService
from steno.pipelines.live.vad_stage import VadStage
from steno.streaming.events import Final, Partial
from steno.translation.translator import Translator
from steno.types import SAMPLE_RATE, Hypothesis
from steno.vad.silero import VadState
from streaming.streams import LOUD, audio_of, probabilities_of
from talking import pcm_of

FRAME_S = 0.1


class AtOnce(Executor):
    """Runs what it is given where it stands: virtual time does not pass in threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


class LoudnessVad:
    def step(self, frames: NDArray[np.float32], states: Sequence[VadState]) -> NDArray[np.float32]:
        return probabilities_of(frames)


WORKER_PREFIX = "0/"
"""What a worker puts before the names of its first connection's utterances."""


class OfflineBackend:
    """An `AsyncBackend` that knows nothing of live work: each call takes `rtf` times its audio. `errors`: what calls
    raise, in order; `hangs`: calls that never return."""

    name = "offline"
    model_id = "offline"
    device = "cpu"

    def __init__(self, rtf: float = 0.1, workers: int = 2, live_workers: int = 1, *, live: bool = False) -> None:
        self.capabilities = Capabilities(
            languages=None,
            live=live,
            word_times=False,
            context=True,
            max_audio_s=60.0,
        )
        self.rtf, self.workers, self.live_workers = rtf, workers, live_workers
        self.errors: list[BaseException | None] = []
        self.hangs = 0
        self.under_way: list[str | None] = []
        self.forgotten: list[str] = []
        self.aborted = 0

    async def load(self, progress: Progress) -> None: ...

    async def unload(self) -> None: ...

    async def recognize(self, work: Recognize) -> Hypothesis:
        name = work.utterance and work.utterance.removeprefix(WORKER_PREFIX)
        assert name is None or name not in self.under_way, "two of one utterance at once"
        self.under_way.append(name)
        try:
            if self.hangs:
                self.hangs -= 1
                await asyncio.Event().wait()
            await asyncio.sleep(self.rtf * len(work.audio) / SAMPLE_RATE)
            error = self.errors.pop(0) if self.errors else None
            if error is not None:
                raise error
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.under_way.remove(name)
        return Hypothesis(" ".join(f"w{n}" for n in range(int(len(work.audio) / SAMPLE_RATE / 0.5))), "en")

    def forget(self, utterance: str) -> None:
        self.forgotten.append(utterance.removeprefix(WORKER_PREFIX))


def live_of(engine: Engine, *, translator: Translator | None = None, **settings: Any) -> LiveService:
    vad_stage = VadStage(load=LoudnessVad, thread=AtOnce())
    return LiveService(LiveContext(engine, vad_stage, LiveSettings(**settings), CueStyle(), translator))


def offline_engine(backend: OfflineBackend, limits: AdmissionLimits | None = None) -> Engine:
    return new_engine(backend, limits or AdmissionLimits())


class Listener:
    """Reads a stream's outbox and notes when each event came."""

    def __init__(self, stream: LiveStream) -> None:
        self.stream = stream
        self.heard: list[tuple[float, LiveEvent | Notice]] = []
        self._task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        while (item := await self.stream.outbox.get()) is not None:
            self.heard.append((now(), item))

    @property
    def finals(self) -> list[Final]:
        return [event for _, event in self.heard if isinstance(event, Final)]

    @property
    def partials(self) -> list[Partial]:
        return [event for _, event in self.heard if isinstance(event, Partial)]

    def lags(self, began: float) -> list[float]:
        """Of partials: from when the last of their audio was spoken until they were told."""
        return [at - began - event.end_s for at, event in self.heard if isinstance(event, Partial)]

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


def pcm(*stretches: tuple[str, float]) -> bytes:
    return pcm_of(audio_of(*stretches))


async def speak(stream: LiveStream, data: bytes) -> None:
    """In real time: 100 ms at a time, each when it has been spoken."""
    size = round(FRAME_S * SAMPLE_RATE) * 2
    for start in range(0, len(data), size):
        await asyncio.sleep(FRAME_S)
        await stream.feed(data[start : start + size])


__all__ = [
    "LOUD", "AtOnce", "Listener", "LiveOptions", "LoudnessVad", "OfflineBackend",
    "live_of", "offline_engine", "pcm", "speak", "step_engine",
]  # fmt: skip
