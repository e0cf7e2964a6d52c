"""The load of `benchmarks.gpu_engine` on vLLM: the same streams, steps and pieces through the vLLM backend."""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks import harness
from benchmarks.live_load import PERIOD_S, PIECE_S, SPEECH_S, end_of, most_streams, next_step
from benchmarks.vllm import ScriptedVllm, speech_like, tokens_at
from steno.backends.base import Recognize
from steno.backends.qwen.checkpoint.model_source import ModelRef
from steno.backends.vllm.backend import VllmBackend
from steno.backends.vllm.vllm_options import VllmOptions
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.vllm.processing import Processing
    from steno.types import Audio


def measure(model: str, options: argparse.Namespace, report: harness.Report) -> None:
    """Adds step_ms, offline_audio_s_per_s and live_streams."""
    asyncio.run(_measure(model, options, report))


async def _measure(model: str, options: argparse.Namespace, report: harness.Report) -> None:
    ref = ModelRef(model, None, (), None, "recogniser")
    slots = 8 if options.quick else options.max_slots
    engines: list[ScriptedVllm] = []

    def new_engine(processing: Processing) -> ScriptedVllm:
        engines.append(ScriptedVllm(VllmOptions(ref, options.device, options.dtype, slots=slots), processing))
        return engines[-1]

    backend = VllmBackend(ref, slots, options.device, new_engine)
    await backend.load(lambda *_: None)
    loop = asyncio.get_running_loop()
    try:
        load = VllmLoad(backend, engines[0])
        await load.run(1, PERIOD_S)  # warms up
        report.add("step_ms", *(1000 * lag for lag in await load.run(1, 10.0 if options.quick else 30.0)))
        report.add("offline_audio_s_per_s", await _offline(backend, 4 if options.quick else options.offline_slots))

        def lags_of(streams: int) -> list[float]:
            run = load.run(streams, 6.0 if options.quick else options.seconds)
            return asyncio.run_coroutine_threadsafe(run, loop).result()

        report.add("live_streams", await asyncio.to_thread(most_streams, lags_of, options))
    finally:
        await backend.unload()


class VllmLoad:
    """Streams in real time."""

    def __init__(self, backend: VllmBackend, engine: ScriptedVllm) -> None:
        self._backend = backend
        self._engine = engine

    async def run(self, streams: int, seconds: float) -> list[float]:
        """The lags of all steps, seconds from when each was due."""
        began = time.perf_counter()
        lags = await asyncio.gather(*(self._stream(n, PERIOD_S * n / streams, began, seconds) for n in range(streams)))
        return [lag for own in lags for lag in own]

    async def _stream(self, number: int, due_s: float, began: float, seconds: float) -> list[float]:
        audio, lags, step, stable = speech_like(number), list[float](), 1, ""
        while due_s < seconds:
            await asyncio.sleep(max(due_s - (time.perf_counter() - began), 0.0))
            stable = await self._step(number, audio, end_of(step), stable)
            lags.append(time.perf_counter() - began - due_s)
            due_s, step = next_step(due_s, step)
            stable = stable if step > 1 else ""
        self._backend.forget(str(number))
        return lags

    async def _step(self, number: int, audio: Audio, end_s: float, stable: str) -> str:
        """Recognise the utterance up to `end_s`; returns what is stable then: the text of all but the last second."""
        is_final = end_s >= SPEECH_S
        part = audio[: round(end_s * SAMPLE_RATE)]
        hypothesis = await self._backend.recognize(
            Recognize(part, "en", utterance=str(number), final=is_final, stable=stable)
        )
        text = self._engine.text_of(self._engine.script[: tokens_at(max(end_s - 1.0, 0.0))])
        return text if hypothesis.text.startswith(text) else ""


async def _offline(backend: VllmBackend, at_once: int) -> float:
    """Seconds of audio per second: three pieces for each of `at_once`."""
    free = asyncio.Semaphore(at_once)

    async def recognize(number: int) -> None:
        async with free:
            await backend.recognize(Recognize(speech_like(1000 + number)[: round(PIECE_S * SAMPLE_RATE)], "en"))

    began = time.perf_counter()
    await asyncio.gather(*(recognize(number) for number in range(3 * at_once)))
    return 3 * at_once * PIECE_S / (time.perf_counter() - began)
