"""Cost of tracing for a job in the engine: switched off against an earlier commit, and switched on.

    git worktree add --detach ../before COMMIT
    python -m benchmarks.tracing_cost --before ../before [--quick] [--json out/tracing_cost.json]

Each measurement is a process of its own, which runs live jobs through `Ticket`, queue and scheduler; the kinds take
turns, so that the machine's noise meets all of them.

- before_us, off_us, on_us: CPU time of a job, of a backend that answers at once: all of it is the engine's.
- step_before_us, step_off_us, step_on_us: as above, of a `StepBackend`, whose steps are in a thread.
- off_over_before, step_off_over_before: the ratios in the same round. Target: 1.02.
- on_over_off, step_on_over_off: with the SDK, its batches and an exporter that discards them.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from loguru import logger

from benchmarks import harness
from steno.backends.base import Capabilities, Progress, Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.engine.queue import Priority
from steno.types import Hypothesis

TARGETS = {"off_over_before": 1.02, "step_off_over_before": 1.02}
JOBS_PER_UTTERANCE = 10
AUDIO = np.zeros(160, np.float32)
"""Less than a word: one step of the scripted backend."""


class InstantBackend:
    """An `AsyncBackend` that answers at once."""

    name = model_id = "instant"
    device = "cpu"
    workers = live_workers = 1
    capabilities = Capabilities(languages=None, live=True, word_times=False, context=False, max_audio_s=60.0)

    async def load(self, progress: Progress) -> None: ...

    async def unload(self) -> None: ...

    async def recognize(self, work: Recognize) -> Hypothesis:
        return Hypothesis("", None)

    def forget(self, utterance: str) -> None: ...


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="a checkout of the commit to compare with")
    parser.add_argument("--measure", choices=["before", "off", "on"], help=argparse.SUPPRESS)
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        if options.measure == "on":
            record_spans()
        logger.disable("steno")
        print(asyncio.run(job_us(2_000 if options.quick else 10_000, with_steps=options.step)))
        return
    report = harness.Report("tracing_cost", options)
    checkouts = {"off": None, "on": None, **({"before": options.before} if options.before is not None else {})}
    for number in range(3 if options.quick else 20):
        for prefix in ("", "step_"):
            kinds = list(checkouts)[:: -1 if number % 2 else 1]
            took = {kind: measured(kind, prefix, options.quick, checkouts[kind]) for kind in kinds}
            for kind, us in took.items():
                report.add(f"{prefix}{kind}_us", us)
            report.add(f"{prefix}on_over_off", took["on"] / took["off"])
            if "before" in took:
                report.add(f"{prefix}off_over_before", took["off"] / took["before"])
    report.finish(TARGETS)


def measured(kind: str, prefix: str, quick: bool, checkout: Path | None = None) -> float:
    """Microseconds of a job in a new process. `checkout`: whose code it runs; None = this one's."""
    command = [sys.executable, "-m", "benchmarks.tracing_cost", "--measure", kind]
    command += ["--step"] * bool(prefix) + ["--quick"] * quick
    source = {"PYTHONPATH": str(checkout.resolve() / "src")} if checkout is not None else {}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ended = subprocess.run(
        command, env={**environment, **source}, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    )
    return float(ended.stdout)


def record_spans() -> None:
    """Record spans with the SDK, and discard them in its thread."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

    from steno import otel_tracer, tracing

    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # of spans that were dropped

    class Discard(SpanExporter):
        def export(self, spans: object) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Discard()))
    tracing.install(otel_tracer.OtelTracer(provider.get_tracer("steno")))


async def job_us(jobs: int, *, with_steps: bool) -> float:
    """CPU time of a live job, in microseconds."""
    backend = ScriptedBackend(slots=2, step_s=0.0) if with_steps else InstantBackend()
    async with local_engine(backend, AdmissionLimits()) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
        await ticket.ready()
        for _ in range(jobs // 10):
            await ticket.recognize(Recognize(AUDIO))
        began = time.process_time()
        for number in range(jobs):
            utterance, index = divmod(number, JOBS_PER_UTTERANCE)
            is_last = index == JOBS_PER_UTTERANCE - 1
            work = Recognize(AUDIO, utterance=str(utterance), final=is_last, stream="s")
            await ticket.recognize(work, Priority.LIVE_FINAL if is_last else Priority.LIVE_PARTIAL)
            if is_last:
                engine.forget(str(utterance))
        return 1e6 * (time.process_time() - began) / jobs


if __name__ == "__main__":
    main()
