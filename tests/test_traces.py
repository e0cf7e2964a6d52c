"""Spans as a collector gets them from a real server, and what is left of tracing if it is off or its collector dead."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from llm_server import LlmServer
from otlp_collector import CollectedSpan, Collector
from running import EMBEDDED, PATIENCE_S, TLS, RunningServer, post, until
from talking import pcm_file, talk

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLIENTS = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "100"}
SCRIPTED = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@5ms"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def llm() -> Iterator[LlmServer]:
    with LlmServer() as llm:
        yield llm


@pytest.fixture(scope="module")
def server(collector: Collector, llm: LlmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A front and a worker."""
    settings = {"ASR_BACKEND": EMBEDDED, "GATEWAY_MODE": "true", "OPENAI_BASE_URL": llm.url, "TRANSLATE_MODEL": "small"}
    settings["JOBS_DB"] = str(tmp_path_factory.mktemp("jobs") / "jobs.db")
    with RunningServer(**settings, **QUICK, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as server:
        yield server


def children(of: CollectedSpan, among: list[CollectedSpan]) -> list[CollectedSpan]:
    return [span for span in among if span.parent_id == of.span_id]


def test_an_upload_is_followed_through_front_worker_aligner_and_llm(
    server: RunningServer, collector: Collector, fixtures: Path
) -> None:
    answer = httpx.post(
        f"{server.url}/v1/audio/translations",
        files={"file": (fixtures / "letter.flac").read_bytes()},
        data={"language": "fr"},
        headers={**CLIENTS, "X-Request-ID": "mine-1"},
        timeout=PATIENCE_S,
        verify=TLS,
    )
    assert answer.status_code == 200, answer.text
    (request,) = collector.wait_for("POST /v1/audio/translations")
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    attributes = request.attributes
    assert (attributes["service.name"], attributes["steno.process"]) == ("steno", "server")
    assert (attributes["steno.request_id"], attributes["http.response.status_code"]) == ("mine-1", 200)
    until(lambda: sum((span.trace_id, span.name) == (TRACE, "step") for span in collector.spans) >= 2)
    found = [span for span in collector.spans if span.trace_id == TRACE]
    assert {span.name for span in children(request, found)} == {"recognize", "align", "chat small"}
    for name in ("recognize", "align"):
        (job,) = (span for span in found if span.name == name)
        (step,) = children(job, found)
        assert step.name == "step"
        assert (step.attributes["steno.process"], step.attributes["steno.batch_size"]) == ("worker", 1)
        assert step.attributes["process.pid"] != attributes["process.pid"]
        assert job.start_s <= step.start_s <= step.end_s <= job.end_s <= request.end_s
        assert job.attributes["steno.class"] == "interactive"
    (step,) = children(next(span for span in found if span.name == "recognize"), found)
    assert step.attributes["steno.backend"] == EMBEDDED
    assert step.attributes.get("steno.path") == {"moonshine": "standard"}.get(EMBEDDED)
    assert not any(span.failed for span in found)
    until(lambda: f" mine-1 {TRACE} POST /v1/audio/translations 200" in server.log())


async def test_a_live_session_has_a_span_for_each_utterance_and_its_steps(
    server: RunningServer, collector: Collector, fixtures: Path
) -> None:
    pcm = pcm_file(fixtures / "weather.flac")
    async with talk(server) as conversation:
        await conversation.say(pcm + bytes(32_000) + pcm, pace=6)
        await conversation.close()
    (session,) = collector.wait_for("live native")
    until(lambda: len(collector.named("utterance")) >= 2)
    finals = collector.named("recognize", steno_class="live_final")
    until(lambda: all(children(final, collector.spans) for final in finals))  # the worker exports for itself
    found = [span for span in collector.spans if span.trace_id == session.trace_id]
    assert session.parent_id == ""
    utterances = [span for span in found if span.name == "utterance"]
    assert {span.parent_id for span in utterances} == {session.span_id}
    for utterance in utterances:
        jobs = children(utterance, found)
        assert {job.name for job in jobs} == {"recognize"}
        assert [job.attributes["steno.class"] for job in jobs].count("live_final") == 1
        (final,) = (job for job in jobs if job.attributes["steno.class"] == "live_final")
        assert [step.attributes["steno.process"] for step in children(final, found)] == ["worker"]
        assert session.start_s <= utterance.start_s <= final.end_s <= utterance.end_s + 0.05


def test_a_stored_job_is_a_trace_of_its_own(server: RunningServer, collector: Collector, fixtures: Path) -> None:
    files = {"file": (fixtures / "letter.flac").read_bytes()}
    stored = httpx.post(
        f"{server.url}/v1/jobs", files=files, data={"kind": "transcription"}, timeout=PATIENCE_S, verify=TLS
    )
    (job,) = collector.wait_for("job transcription")
    assert job.attributes["steno.job_id"] == stored.json()["id"]
    (submission,) = collector.wait_for("POST /v1/jobs")
    assert job.trace_id != submission.trace_id
    (piece,) = children(job, collector.named("recognize"))
    assert piece.attributes["steno.class"] == "bulk"


def test_what_monitoring_polls_has_no_span_and_a_refused_request_has_one(
    server: RunningServer, collector: Collector
) -> None:
    server.get("/health")
    assert server.get("/v1/nothing").status_code == 404
    until(lambda: any(span.attributes.get("http.response.status_code") == 404 for span in collector.spans))
    assert not [span for span in collector.spans if span.attributes.get("url.path") == "/health"]


@pytest.mark.parametrize("fault", ["refuses", "hangs"])
def test_a_dead_collector_slows_nothing_and_is_mentioned_once(fixtures: Path, fault: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if fault == "hangs":
            silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        dead = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_EXPORTER_OTLP_TIMEOUT": "0.3",
            "OTEL_BSP_MAX_QUEUE_SIZE": "16",
        }
        with RunningServer(**SCRIPTED, **QUICK, **dead, OTEL_BSP_MAX_EXPORT_BATCH_SIZE="16") as server:
            post(server, fixtures / "letter.flac")
            until(lambda: "takes no spans" in server.log())
            began = time.monotonic()
            for _ in range(20):
                assert post(server, fixtures / "letter.flac").status_code == 200
            took_s = time.monotonic() - began
            time.sleep(0.5)  # further attempts to export fail meanwhile
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
        assert took_s < 20
        lines = [line for line in server.log().splitlines() if "spans" in line or "opentelemetry" in line]
        assert len(lines) == 1, lines


def test_without_the_packages_the_server_says_so_once_and_serves(fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry" / "sdk").mkdir(parents=True)  # FastAPI imports the API, which is another package
    (tmp_path / "opentelemetry" / "sdk" / "__init__.py").write_text("raise ImportError")
    asked = {"OTEL_TRACES_EXPORTER": "otlp", "PYTHONPATH": str(tmp_path), "GATEWAY_MODE": "true"}
    with RunningServer(**SCRIPTED, **asked) as server:
        assert post(server, fixtures / "letter.flac").status_code == 200
        assert server.log().count("pip install 'steno[otel]'") == 1
