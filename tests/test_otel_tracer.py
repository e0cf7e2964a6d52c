from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from loguru import logger

from otlp_collector import Collector
from steno import otel_tracer, tracing


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged."""
    found: list[str] = []
    sink = logger.add(lambda message: found.append(str(message)), format="{message}")
    yield found
    logger.remove(sink)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "steno"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
        ({"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], wanted: bool) -> None:
    assert otel_tracer.is_wanted(environment) is wanted


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    with otel_tracer.exported_spans("server"):
        assert tracing.active() is None
    assert len(lines) == 1
    assert lines[0].startswith("there are no traces: no exporter 'pigeon' is installed")


def test_spans_arrive_when_the_process_ends_with_its_name_and_their_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "captions")
        with otel_tracer.exported_spans("server"), tracing.recorded("outer", {"steno.audio_s": 1.5}) as outer:
            assert outer is not None
            with pytest.raises(ZeroDivisionError), tracing.recorded("inner", {}):
                _ = 1 / 0
        assert tracing.active() is None
        assert tracing.current() is None
    inner, outer_span = collector.spans
    assert (inner.name, inner.parent_id) == ("inner", outer_span.span_id)
    assert inner.trace_id == outer_span.trace_id == outer.trace_id
    assert outer_span.attributes["steno.audio_s"] == 1.5
    assert outer_span.attributes["service.name"] == "captions"
    assert inner.failed
    assert inner.attributes["error.type"] == "ZeroDivisionError"


def test_what_a_client_has_not_sampled_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with otel_tracer.exported_spans("server"):
            for flags in ("00", "01"):
                parent = f"00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333{flags[1]}-{flags}"
                with tracing.recorded("request", {}, parent=parent), tracing.recorded("job", {}):
                    pass
            with tracing.recorded("request of a client that sends nonsense", {}, parent="00-x-y-01"):
                pass
    assert [(span.name, span.parent_id) for span in collector.spans if span.name != "job"] == [
        ("request", "b7ad6b7169203331"),
        ("request of a client that sends nonsense", ""),
    ]
    assert [span.name for span in collector.spans].count("job") == 1


def test_the_end_of_the_process_does_not_wait_for_a_collector_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel_tracer, "SHUTDOWN_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with otel_tracer.exported_spans("server"):
            with tracing.recorded("request", {}):
                pass
            began = time.monotonic()
        assert 0.3 <= time.monotonic() - began < 5  # the SDK would wait for 10 s
