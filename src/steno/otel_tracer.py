"""Records spans with OpenTelemetry's SDK, where its standard variables (`OTEL_*`) ask for it.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/. The SDK's own thread exports them in
batches, from a bounded queue: a collector that is slow or dead costs spans, and no request waits for it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from loguru import logger

from steno import __version__, tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import Span as SdkSpan
    from opentelemetry.trace import Tracer as SdkTracer

SHUTDOWN_S = 3.0
"""How long the end of the process waits for the last spans to be exported."""
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
"""Exporters by `OTEL_EXPORTER_OTLP_PROTOCOL`; the second is in a package of its own."""


def is_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for spans."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter != "none" and bool(exporter or any(environment.get(name) for name in ENDPOINTS))


@contextmanager
def exported_spans(process: str, *, says_missing: bool = True) -> Iterator[None]:
    """Record spans while the context is open, if the environment asks for them. What prevents it is logged, once.

    Args:
        process: what this process is, as an attribute of its spans: `server`, `front`, `worker`.
        says_missing: log that the packages are missing; false where another process of the server does.
    """
    provider = _provider_of(process, says_missing=says_missing) if is_wanted() else None
    if provider is None:
        yield
        return
    tracing.install(OtelTracer(provider.get_tracer("steno", __version__)))
    try:
        yield
    finally:
        tracing.install(None)
        # The SDK's own time limit is that of one attempt to export, and applies to each.
        ending = threading.Thread(target=provider.shutdown, name="end of traces", daemon=True)
        ending.start()
        ending.join(SHUTDOWN_S)


def _provider_of(process: str, *, says_missing: bool) -> TracerProvider | None:
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        if says_missing:
            logger.warning("OTEL_* variables are set, but there are no traces: pip install 'steno[otel]'")
        return None
    attributes: dict[str, str | int] = {
        "service.version": __version__, "process.pid": os.getpid(), "steno.process": process,
    }  # fmt: skip
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if not named:
        attributes["service.name"] = "steno"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    try:
        for exporter in _exporters():
            provider.add_span_processor(BatchSpanProcessor(cast("SpanExporter", QuietExporter(exporter))))
    except Exception as error:  # noqa: BLE001 - exporters check their variables in ways of their own
        logger.warning("there are no traces: {}", error)
        return None
    return provider


def _exporters() -> Iterator[SpanExporter]:
    """Those of `OTEL_TRACES_EXPORTER`. Raises ValueError: one is not installed; or what its constructor raises."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        known = OTLP.get(protocol or "http/protobuf", protocol) if name.strip() == "otlp" else name.strip()
        found = next(iter(entry_points(group="opentelemetry_traces_exporter", name=known or "")), None)
        if found is None:
            raise ValueError(f"no exporter {known!r} is installed (OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_PROTOCOL)")
        yield found.load()()


class OtelTracer:
    """A `Tracer`."""

    def __init__(self, tracer: SdkTracer) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer = tracer
        self._root = Context()
        self._propagator = TraceContextTextMapPropagator()
        self._kinds = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

    def start(
        self, name: str, parent: str | None, kind: tracing.Kind, attributes: Mapping[str, tracing.Attribute]
    ) -> OtelSpan:
        context = self._root
        if parent is not None:
            context = self._propagator.extract({"traceparent": parent}, self._root)
        span = self._tracer.start_span(name, context, self._kinds[kind], attributes)
        return OtelSpan(span)


class OtelSpan:
    """A `Span`."""

    def __init__(self, span: SdkSpan) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.traceparent = f"00-{self.trace_id}-{context.span_id:016x}-{context.trace_flags:02x}"

    def set(self, attributes: Mapping[str, tracing.Attribute]) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def end(self, error: str | None = None) -> None:
        from opentelemetry.trace import Status, StatusCode

        if not self._span.is_recording():
            return
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class QuietExporter:
    """A `SpanExporter` that says once that its collector takes nothing, and once that it does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        from opentelemetry.sdk.trace.export import SpanExportResult

        reason = ""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - the boundary of the SDK's thread
            result, reason = SpanExportResult.FAILURE, f" ({type(error).__name__})"
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            logger.warning("the collector takes no spans{}; they are lost until it does", reason)
        elif self._is_failing and not is_failing:
            logger.info("the collector takes spans again")
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
