"""Prometheus metrics: what an operator asks at 3 a.m. One registry an app, no globals."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from steno.backends.base import UsesDrafts
from steno.engine.engine import Engine
from steno.engine.lifecycle import LifecycleState
from steno.engine.queue import Priority

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Implements the engine's, the live streams' and the VAD's telemetry; routes and middleware add theirs."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nobody reads
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "steno_http_requests", "HTTP requests answered.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "steno_http_request_seconds", "From the request to the last byte of its answer.", ["route"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.loop_lag = Gauge(
            "steno_event_loop_lag_seconds", "How late the event loop ran its last timer.", registry=registry
        )
        self.tasks = Gauge("steno_event_loop_tasks", "Tasks of the event loop, idle ones included.", registry=registry)
        self.receiving_uploads = Gauge(
            "steno_receiving_uploads", "Uploads whose body is still coming.", registry=registry
        )
        self._queue_wait = Histogram(
            "steno_queue_wait_seconds", "From a job's submission to its start.", ["class"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._batch = Histogram(
            "steno_batch_size", "Pieces of work in one step of the backend.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=registry,
        )  # fmt: skip
        self._step = Histogram("steno_step_seconds", "One step of the backend.", buckets=SECONDS, registry=registry)
        self._rtf = Histogram(
            "steno_real_time_factor", "Time the backend held a job, divided by its audio.",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5), registry=registry,
        )  # fmt: skip
        self._audio = Counter("steno_audio_seconds", "Audio recognised.", registry=registry)
        self._aligned = Counter("steno_aligned_audio_seconds", "Audio in which words were timed.", registry=registry)
        self._aligner_rtf = Histogram(
            "steno_aligner_real_time_factor", "Time the aligner held a job, divided by its audio.",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5), registry=registry,
        )  # fmt: skip
        self._repetitions = Counter(
            "steno_repetitions", "Results in which the recogniser repeated itself without end, and was cut.",
            registry=registry,
        )  # fmt: skip
        self._failures = Counter(
            "steno_job_failures", "Jobs that ended with an error, by its code.", ["code"], registry=registry
        )
        self._refusals = Counter(
            "steno_refusals", "Requests and sessions not let in, by the error's code.", ["code"], registry=registry
        )
        self.live_sessions = Gauge(
            "steno_live_sessions", "Live sessions that are open.", ["dialect"], registry=registry
        )
        self.live_endings = Counter(
            "steno_live_endings", "Live sessions that are over, by how they ended.", ["dialect", "reason"],
            registry=registry,
        )  # fmt: skip
        self.live_audio = Counter(
            "steno_live_audio_seconds", "Audio of live sessions that are over.", registry=registry
        )
        self._live_lag = Histogram(
            "steno_live_lag_seconds", "From when a partial or final was due until it was told.", ["what"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._live_diverged = Counter(
            "steno_live_diverged_finals", "Finals that would not have begun with what was stable, and were made to.",
            registry=registry,
        )  # fmt: skip
        self._vad_batch = Histogram(
            "steno_vad_streams", "Live streams in one run of the VAD.",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry,
        )  # fmt: skip
        self._vad_busy = Counter("steno_vad_busy_seconds", "Time the live VAD was at work.", registry=registry)
        self._vad_frames = Counter("steno_vad_frames", "Frames of 32 ms that the live VAD heard.", registry=registry)
        for priority in Priority:
            self._queue_wait.labels(priority.name.lower())

    def watch(self, engine: Engine) -> None:
        """Report the engine's present state whenever metrics are read."""
        self._registry.register(_EngineCollector(engine))

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def waited(self, priority: Priority, wait_s: float) -> None:
        self._queue_wait.labels(priority.name.lower()).observe(wait_s)

    def stepped(self, batch: int, step_s: float) -> None:
        self._batch.observe(batch)
        self._step.observe(step_s)

    def served(self, audio_s: float, busy_s: float) -> None:
        self._audio.inc(audio_s)
        if audio_s > 0:
            self._rtf.observe(busy_s / audio_s)

    def aligned(self, audio_s: float, busy_s: float) -> None:
        self._aligned.inc(audio_s)
        if audio_s > 0:
            self._aligner_rtf.observe(busy_s / audio_s)

    def repeated(self) -> None:
        self._repetitions.inc()

    def failed(self, code: str) -> None:
        self._failures.labels(code).inc()

    def refused(self, code: str) -> None:
        self._refusals.labels(code).inc()

    def told(self, what: str, lag_s: float) -> None:
        self._live_lag.labels(what).observe(lag_s)

    def diverged(self) -> None:
        self._live_diverged.inc()

    def heard(self, streams: int, frames: int, busy_s: float) -> None:
        self._vad_batch.observe(streams)
        self._vad_frames.inc(frames)
        self._vad_busy.inc(busy_s)


class _EngineCollector(Collector):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        engine = self._engine
        depth = GaugeMetricFamily("steno_queue_depth", "Jobs that wait, by class.", labels=["class"])
        for priority, count in engine.queue_depth().items():
            depth.add_metric([priority.name.lower()], count)
        yield depth
        yield GaugeMetricFamily("steno_active_requests", "Requests and sessions that are in.", engine.active)
        yield GaugeMetricFamily("steno_running_jobs", "Jobs that the backend works on.", engine.running)
        if engine.live_capacity is not None:
            text = "Live sessions that fit, by what open ones cost."
            yield GaugeMetricFamily("steno_live_sessions_fit", text, engine.live_capacity)
        loaded = engine.model_state is LifecycleState.READY
        yield GaugeMetricFamily("steno_model_loaded", "1 while the model is in memory.", float(loaded))
        if engine.aligner_state is not None:
            aligner = float(engine.aligner_state is LifecycleState.READY)
            yield GaugeMetricFamily("steno_aligner_loaded", "1 while the aligner is loaded.", aligner)
        if isinstance(engine.backend, UsesDrafts):
            drafts = engine.backend.drafts()
            yield CounterMetricFamily("steno_draft_tokens", "Expected tokens that were verified.", drafts.proposed)
            yield CounterMetricFamily("steno_draft_tokens_accepted", "Those that were right.", drafts.accepted)
        yield GaugeMetricFamily("steno_worker_alive", "1 while the scheduler runs.", float(engine.worker_alive))
        yield GaugeMetricFamily("steno_draining", "1 while the server shuts down.", float(engine.draining))
