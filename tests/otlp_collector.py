"""An OpenTelemetry collector: an OTLP/HTTP receiver that keeps the spans that it gets."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from http_thread import HttpThread
from running import until


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """`attributes` has those of the resource too. Ids are hexadecimal; times are seconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    start_s: float
    end_s: float
    failed: bool


class Collector:
    """Use it as `with`; `url` is its address, `spans` what has arrived."""

    def __init__(self) -> None:
        self.spans: list[CollectedSpan] = []

    def __enter__(self) -> Collector:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                packed = self.headers.get("content-encoding") == "gzip"
                collector.take(ExportTraceServiceRequest.FromString(gzip.decompress(body) if packed else body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None: ...

        self._server = HttpThread(Handler)
        self.url = self._server.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            of_resource = {each.key: _value(each.value) for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                own = {each.key: _value(each.value) for each in span.attributes}
                self.spans.append(
                    CollectedSpan(
                        span.name, span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(),
                        {**of_resource, **own}, span.start_time_unix_nano / 1e9, span.end_time_unix_nano / 1e9,
                        span.status.code == span.status.STATUS_CODE_ERROR,
                    )
                )  # fmt: skip

    def named(self, name: str, **attributes: Any) -> list[CollectedSpan]:
        """Spans of this name, with these attributes; `_` stands for the dots in their names."""
        return [
            span for span in list(self.spans) if span.name == name and all(
                {key.replace(".", "_"): value for key, value in span.attributes.items()}.get(key) == value
                for key, value in attributes.items()
            )
        ]  # fmt: skip

    def wait_for(self, name: str, **attributes: Any) -> list[CollectedSpan]:
        """As `named`, once there is one."""
        until(lambda: bool(self.named(name, **attributes)))
        return self.named(name, **attributes)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
