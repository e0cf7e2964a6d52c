"""Spans of jobs, in virtual time and with an exporter of the SDK."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from engine.engine_kinds import new_engine
from engine.virtual import SleepingBackend, recognize, run, step_engine
from steno import otel_tracer, tracing
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.queue import Priority


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.install(otel_tracer.OtelTracer(provider.get_tracer("steno")))
    yield exporter
    tracing.install(None)


def engine_of(kind: str) -> Engine:
    if kind == "step":
        return step_engine(slots=4)
    return new_engine(SleepingBackend(workers=2, live_workers=1, load_s=0), AdmissionLimits())


def named(exporter: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name == name]


def id_of(span: ReadableSpan) -> int:
    return span.get_span_context().span_id


def parent_of(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def test_a_step_says_how_many_requests_shared_it(exporter: InMemorySpanExporter) -> None:
    async def main() -> None:
        async with step_engine(slots=4) as engine, engine.admit() as ticket:
            with tracing.recorded("request", {}):
                await asyncio.gather(*(ticket.recognize(recognize(2.0)) for _ in range(3)))

    run(main())
    (request,) = named(exporter, "request")
    jobs, steps = named(exporter, "recognize"), named(exporter, "step")
    assert [parent_of(job) for job in jobs] == [id_of(request)] * 3
    assert {parent_of(step) for step in steps} == {id_of(job) for job in jobs}
    for step in steps:
        assert step.attributes == {"steno.backend": "scripted", "steno.batch_size": 3}


@pytest.mark.parametrize("kind", ["async", "step"])
def test_a_cancelled_job_ends_its_spans(exporter: InMemorySpanExporter, kind: str) -> None:
    async def main() -> None:
        async with engine_of(kind) as engine, engine.admit() as ticket:
            await ticket.recognize(recognize(0.1))
            job = asyncio.create_task(ticket.recognize(recognize(30.0)))
            await asyncio.sleep(1)
            job.cancel()
            await asyncio.wait([job])
            await asyncio.sleep(1)

    run(main())
    for name in ("step", "recognize"):
        done, cancelled = named(exporter, name)
        assert done.status.is_ok or done.status.is_unset
        assert cancelled.attributes is not None
        assert cancelled.attributes["error.type"] == "cancelled"


def test_an_utterance_lasts_until_it_is_forgotten(exporter: InMemorySpanExporter) -> None:
    async def main() -> None:
        async with engine_of("step") as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            for utterance in ("s/0", "s/1"):
                partial = recognize(1.0, utterance=utterance, final=False)
                await ticket.recognize(partial, Priority.LIVE_PARTIAL)
                await ticket.recognize(recognize(2.0, utterance=utterance), Priority.LIVE_FINAL)
                assert named(exporter, "utterance") == [] or utterance == "s/1"
                if utterance == "s/0":
                    engine.forget(utterance)

    run(main())
    first, second = named(exporter, "utterance")  # the second ends with the engine
    jobs = named(exporter, "recognize")
    assert [parent_of(job) for job in jobs] == [id_of(first)] * 2 + [id_of(second)] * 2
    assert [job.attributes and job.attributes["steno.class"] for job in jobs] == ["live_partial", "live_final"] * 2


def test_without_a_tracer_jobs_have_no_trace() -> None:
    async def main() -> None:
        async with engine_of("async") as engine, engine.admit() as ticket:
            task = asyncio.create_task(ticket.recognize(recognize(5.0)))
            await asyncio.sleep(1)
            assert [job.trace for job in ticket._jobs] == [None]
            await task

    run(main())
