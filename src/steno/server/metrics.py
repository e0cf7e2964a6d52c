"""Prometheus metrics. Each app has a registry of its own; those of several fronts are added up from files."""

from __future__ import annotations

import asyncio
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    values,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from steno.engine.front import Engine
from steno.engine.front_table import FrontTable
from steno.engine.queue import Priority
from steno.errors import SupersededError
from steno.server.engine_collector import EngineCollector
from steno.stage_times import STAGES

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """All metrics. Implements the telemetry protocols of the engine, the live streams and the VAD."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, shared_in: Path | None = None) -> None:
        """
        Args:
            shared_in: folder in which the fronts have their metrics; `share_as` was called before.
        """
        self._shared_in = shared_in
        self._collector: EngineCollector | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second, unused series for each counter
        registry = self._registry = CollectorRegistry()
        self._of_engine = CollectorRegistry() if shared_in is not None else registry
        if shared_in is None:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
        self.requests = Counter(
            "steno_http_requests", "HTTP requests completed.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "steno_http_request_seconds", "Time from the request to the last byte of its response.", ["route"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.loop_lag = Gauge(
            "steno_event_loop_lag_seconds",
            "Delay of the event loop's last timer.",
            registry=registry,
            multiprocess_mode="livemax",
        )
        self.tasks = Gauge(
            "steno_event_loop_tasks",
            "Tasks of the event loop, idle ones included.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.receiving_uploads = Gauge(
            "steno_receiving_uploads",
            "Uploads whose body is being received.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._queue_wait = Histogram(
            "steno_queue_wait_seconds", "Time from a job's submission to its start.", ["class"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._batch = Histogram(
            "steno_batch_size", "Requests in one step of the backend.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), registry=registry,
        )  # fmt: skip
        self._step = Histogram("steno_step_seconds", "Time of a backend step.", buckets=SECONDS, registry=registry)
        self._rtf = Histogram(
            "steno_real_time_factor", "Time of a job in the backend, divided by its audio.",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5), registry=registry,
        )  # fmt: skip
        self._audio = Counter("steno_audio_seconds", "Audio recognised.", registry=registry)
        self._aligned = Counter("steno_aligned_audio_seconds", "Audio aligned with its text.", registry=registry)
        self._aligner_rtf = Histogram(
            "steno_aligner_real_time_factor", "Time of a job in the aligner, divided by its audio.",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5), registry=registry,
        )  # fmt: skip
        self._repetitions = Counter(
            "steno_repetitions", "Results whose repetition loop was cut.",
            registry=registry,
        )  # fmt: skip
        self._failures = Counter("steno_job_failures", "Jobs that failed, by error code.", ["code"], registry=registry)
        self._refusals = Counter(
            "steno_refusals", "Requests and sessions not admitted, by error code.", ["code"], registry=registry
        )
        self._last_error = Gauge(
            "steno_last_error_timestamp_seconds", "Unix time of the last failed job or refusal, by error code.",
            ["what", "code"], registry=registry, multiprocess_mode="max",
        )  # fmt: skip
        self.live_sessions = Gauge(
            "steno_live_sessions", "Open live sessions.", ["dialect"], registry=registry, multiprocess_mode="livesum"
        )
        self.live_endings = Counter(
            "steno_live_endings", "Ended live sessions, by reason.", ["dialect", "reason"],
            registry=registry,
        )  # fmt: skip
        self.live_audio = Counter("steno_live_audio_seconds", "Audio of ended live sessions.", registry=registry)
        self._live_lag = Histogram(
            "steno_live_lag_seconds", "Time from when a partial or final was due until it was emitted.", ["what"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._live_diverged = Counter(
            "steno_live_diverged_finals", "Finals whose text contradicted stable text already sent.",
            registry=registry,
        )  # fmt: skip
        self._vad_batch = Histogram(
            "steno_vad_streams", "Live streams in one run of the VAD.",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=registry,
        )  # fmt: skip
        self._turns = Histogram(
            "steno_turn_judgement_seconds", "Time in which a pause was judged, or given up.", ["judgement"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._speakers = Histogram(
            "steno_speaker_label_seconds", "Time that a live final waited for its speakers, by outcome.", ["outcome"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.speaker_load_failures = Counter(
            "steno_speaker_model_load_failures", "Failed loads of the network that tells speakers apart.",
            registry=registry,
        )  # fmt: skip
        self._vad_busy = Counter("steno_vad_busy_seconds", "Time that the live VAD ran.", registry=registry)
        self._vad_frames = Counter("steno_vad_frames", "32 ms frames that the live VAD processed.", registry=registry)
        self._stages = Counter(
            "steno_stage_seconds", "Work on recordings, by stage; summed over pieces worked on at once.", ["stage"],
            registry=registry,
        )  # fmt: skip
        self.stored_jobs = Gauge(
            "steno_stored_jobs",
            "Jobs of `/v1/jobs`, by state.",
            ["state"],
            registry=registry,
            multiprocess_mode="mostrecent",
        )
        for priority in Priority:
            self._queue_wait.labels(priority.name.lower())
        for stage in STAGES:
            self._stages.labels(stage)

    def watch(self, engine: Engine, fronts: FrontTable | None = None) -> None:
        """Collect the engine's current state whenever metrics are rendered."""
        self._collector = EngineCollector(engine, fronts)
        self._of_engine.register(self._collector)

    async def render(self) -> bytes:
        """Prometheus' text format, written in a thread."""
        if self._collector is not None:
            self._collector.read()
        return await asyncio.to_thread(self._text)

    def _text(self) -> bytes:
        if self._shared_in is None:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        MultiProcessCollector(shared, str(self._shared_in))  # type: ignore[no-untyped-call]
        return generate_latest(self._of_engine) + generate_latest(shared)

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
        if code != SupersededError.code:  # a newer partial has taken its place
            self._last_error.labels("job", code).set_to_current_time()

    def refused(self, code: str) -> None:
        self._refusals.labels(code).inc()
        self._last_error.labels("refusal", code).set_to_current_time()

    def emitted(self, what: str, lag_s: float) -> None:
        self._live_lag.labels(what).observe(lag_s)

    def diverged(self) -> None:
        self._live_diverged.inc()

    def stage_took(self, stage: str, seconds: float) -> None:
        self._stages.labels(stage).inc(seconds)

    def turn_judged(self, judgement: str, took_s: float) -> None:
        """Telemetry of turn detection."""
        self._turns.labels(judgement).observe(took_s)

    def speakers_labelled(self, outcome: str, waited_s: float) -> None:
        """Telemetry of speakers in live streams."""
        self._speakers.labels(outcome).observe(waited_s)

    def vad_ran(self, streams: int, frames: int, busy_s: float) -> None:
        self._vad_batch.observe(streams)
        self._vad_frames.inc(frames)
        self._vad_busy.inc(busy_s)


def share_as(front: int) -> None:
    """Keep all metrics of this process in files that the other fronts read. Call it before any are created.

    The files are named by the front's number: a front that is started again goes on with its counters.
    """
    values.ValueClass = values.MultiProcessValue(lambda: front)  # type: ignore[no-untyped-call]
