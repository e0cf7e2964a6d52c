"""Time per stage of live streams, from an audio frame to its caption.

    python -m benchmarks.trace [--sessions 20] [--seconds 20] [--quick] [--json out/trace.json]

Real-time streams in this process, without sockets: intake, session, VAD stage, engine and dialect, on the scripted
backend at 1 ms per step. Computing stages: time per 100 ms of audio (`_us`); waits: time per partial (`_ms`):

- decode_us: bytes → 16 kHz samples.
- session_us: audio buffer, frames, segmenter, hypotheses.
- vad_us: the VAD, in its thread; vad_wait_ms: from submitting frames until their probabilities arrive.
- queue_ms, recognise_ms: a partial's time in the queue, and in the backend.
- encode_us: events → JSON.
- partial_ms: total, from the frame that made a partial due until its JSON.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from loguru import logger

from benchmarks import harness, speech
from benchmarks.speech import BYTES_PER_S
from steno.backends.scripted import ScriptedBackend
from steno.captions.cues import CueStyle
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.engine.queue import Priority
from steno.pipelines.live.live_context import LiveContext, LiveSettings
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import Notice
from steno.pipelines.live.vad_stage import VadStage
from steno.server.live.dialects.base import ServerFacts
from steno.server.live.dialects.native import NativeDialect
from steno.streaming.events import Partial

T = TypeVar("T")
FRAME_S = 0.1


class Stages:
    """Seconds and counts by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.times: Counter[str] = Counter()

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - began)

    def add(self, stage: str, seconds: float) -> None:
        self.seconds[stage] += seconds
        self.times[stage] += 1

    def timed(self, stage: str, call: Callable[..., T]) -> Callable[..., T]:
        def wrapped(*args: Any, **kwargs: Any) -> T:
            with self.of(stage):
                return call(*args, **kwargs)

        return wrapped

    def vad_ran(self, streams: int, frames: int, busy_s: float) -> None:
        """The VAD's telemetry."""
        self.add("vad", busy_s)

    def mean_ms(self, stage: str) -> float:
        return 1000 * self.seconds[stage] / max(self.times[stage], 1)


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    report = harness.Report("trace", options)
    logger.remove()
    seconds = 5.0 if options.quick else options.seconds
    asyncio.run(_run(Stages(), 1, 2.0))  # imports, weights
    stages = Stages()
    asyncio.run(_run(stages, options.sessions, seconds))
    frames = options.sessions * seconds / FRAME_S
    for stage in ("decode", "session", "vad", "encode"):
        report.add(f"{stage}_us", 1e6 * stages.seconds[stage] / frames)
    for stage in ("vad_wait", "queue", "recognise", "partial"):
        report.add(f"{stage}_ms", stages.mean_ms(stage))
    report.finish()


async def _run(stages: Stages, sessions: int, seconds: float) -> None:
    pcm = speech.pattern(seconds)[: round(seconds * BYTES_PER_S)]
    vad_stage = VadStage(stages)
    async with local_engine(ScriptedBackend(slots=64, step_s=0.001), AdmissionLimits(max_live=sessions)) as engine:
        context = LiveContext(engine, vad_stage, LiveSettings(), CueStyle())
        async with asyncio.TaskGroup() as group:
            for n in range(sessions):
                group.create_task(_stream(stages, context, f"stream {n}", pcm, FRAME_S * n / sessions))
    await vad_stage.aclose()


async def _stream(stages: Stages, context: LiveContext, name: str, pcm: bytes, begin_s: float) -> None:
    await asyncio.sleep(begin_s)
    opening = ServerFacts(name, "scripted", 30.0, lambda options: options, lambda model: model or "scripted")
    dialect = NativeDialect(opening, LiveOptions(), LiveOptions())
    async with context.engine.admit(Priority.LIVE_PARTIAL) as ticket:
        stream = LiveStream(context, ticket, name, LiveOptions())
        arrived: dict[float, float] = {}
        _instrument(stream, stages)
        speaking = asyncio.create_task(_speak(stream, dialect, stages, arrived))
        size = round(FRAME_S * BYTES_PER_S)
        due = time.perf_counter()
        for start in range(0, len(pcm), size):
            due += FRAME_S
            await asyncio.sleep(max(due - time.perf_counter(), 0))
            arrived[(start + size) / BYTES_PER_S] = time.perf_counter()
            await stream.feed(pcm[start : start + size])
        await stream.finish()
        stages.add("queue", ticket.queue_s)
        stages.add("recognise", ticket.busy_s)
        jobs = stages.times["jobs of " + name]
        stages.times["queue"] += jobs - 1
        stages.times["recognise"] += jobs - 1
        await stream.aclose()
        await speaking


def _instrument(stream: LiveStream, stages: Stages) -> None:
    """Time the stream's calls."""
    session, intake, vad_stream = stream._session, stream._intake, stream._vad_stream
    for name in ("feed", "observe", "due", "apply"):
        setattr(session, name, stages.timed("session", getattr(session, name)))
    decode = intake._decoder.feed  # type: ignore[attr-defined]
    intake._decoder.feed = stages.timed("decode", decode)  # type: ignore[attr-defined]
    detect = vad_stream.detect
    recognize = stream._ticket.recognize

    async def timed_detect(frames: Any) -> Any:
        with stages.of("vad_wait"):
            return await detect(frames)

    async def counted(*args: Any, **kwargs: Any) -> Any:
        result = await recognize(*args, **kwargs)
        stages.times["jobs of " + stream._name] += 1
        return result

    vad_stream.detect = timed_detect  # type: ignore[method-assign]
    stream._ticket.recognize = counted  # type: ignore[method-assign]


async def _speak(stream: LiveStream, dialect: NativeDialect, stages: Stages, arrived: dict[float, float]) -> None:
    while (item := await stream.outbox.get()) is not None:
        if isinstance(item, Notice):
            continue
        with stages.of("encode"):
            for message in dialect.encode(item):
                json.dumps(message)
        if isinstance(item, Partial):
            due = min((at for at in arrived if at >= item.end_s), default=None)
            if due is not None:
                stages.add("partial", time.perf_counter() - arrived[due])


if __name__ == "__main__":
    main()
