"""The five figures that `benchmarks.compare` watches: each a piece of work whose CPU seconds are measured.

CPU time, because other programs on the machine prolong wall time without bound and CPU time by a few per cent.
A workload is a context manager that yields a function: each call does the work once and returns its seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

Measure: TypeAlias = Callable[[], float]

CAPTIONS_RUNS, VAD_STEPS = 1, 200
STREAMS, STREAM_S = 200, 3.0


@contextmanager
def captions() -> Iterator[Measure]:
    from benchmarks.captions import english_segments, subtitles

    segments = english_segments()
    yield lambda: _cpu_s(lambda: subtitles(segments), CAPTIONS_RUNS)


@contextmanager
def vad() -> Iterator[Measure]:
    import numpy as np

    from benchmarks.vad import STREAMS as BATCH
    from steno.vad.silero import FRAME, BatchedVad, VadState

    frames = 0.05 * np.random.default_rng(0).standard_normal((BATCH, FRAME)).astype(np.float32)
    states = [VadState() for _ in range(BATCH)]
    batched = BatchedVad()
    yield lambda: _cpu_s(lambda: batched.step(frames, states), VAD_STEPS)


@contextmanager
def live_step() -> Iterator[Measure]:
    import torch

    from benchmarks.offline import TINY
    from benchmarks.scripted_qwen import Scripted
    from benchmarks.streaming_cost import STEP_S, UTTERANCE_S, Stream
    from steno.backends.qwen.checkpoint.loader import load_recogniser
    from steno.backends.qwen.engine_options import LoadOptions
    from steno.backends.qwen.model.model import warm_up_audio

    loaded = load_recogniser(LoadOptions(str(TINY), device="cpu", dtype="float32"), lambda *_: None)
    torch.set_num_threads(1)
    stream = Stream(Scripted(loaded, 1), warm_up_audio(UTTERANCE_S))

    def utterance() -> None:
        for n in range(1, round(UTTERANCE_S / STEP_S) + 1):
            stream.step(round(n * STEP_S, 2))
        stream.forget()

    yield lambda: _cpu_s(utterance, 1)


@contextmanager
def live_streams() -> Iterator[Measure]:
    from benchmarks.live import LIMITS, load
    from benchmarks.server import Server
    from benchmarks.speech import SAMPLE

    with Server(ASR_BACKEND="scripted", MODEL_ID="scripted@1ms", **LIMITS) as server:

        def measure() -> float:
            before_s = server.cpu_s()
            asyncio.run(load(server.url, SAMPLE, STREAMS, STREAM_S))
            return server.cpu_s() - before_s

        yield measure


@contextmanager
def start() -> Iterator[Measure]:
    from benchmarks.server import Server

    def measure() -> float:
        with Server() as server:
            return server.cpu_s()

    yield measure


@dataclass(frozen=True, slots=True)
class Figure:
    """A workload, what its seconds are of, and how often a process measures it after one run to warm up."""

    about: str
    workload: Callable[[], AbstractContextManager[Measure]]
    runs: int


FIGURES = {
    "captions": Figure("cues and SRT for two hours of English words", captions, 3),
    "vad": Figure("a batch of 32 frames through the VAD", vad, 5),
    "live_step": Figure("50 live steps of one utterance of 24 s, tiny Qwen3-ASR checkpoint", live_step, 2),
    "live_streams": Figure("200 live streams of 3 s, scripted recogniser, through the server", live_streams, 1),
    "start": Figure("`steno serve` until /health answers", start, 3),
}


def _cpu_s(work: Callable[[], object], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - began
