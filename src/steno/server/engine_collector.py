"""The metrics that are read from the engine when Prometheus scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from steno.backends.base import Gpu, ServerStatus, SlotUsage
from steno.engine.front import Engine
from steno.engine.front_table import FrontTable, Head
from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import LaneStatus
from steno.engine.queue import Priority


class EngineCollector(Collector):
    """The engine's state, as `read` found it last. `fronts`: the table that several fronts share, if there are any."""

    def __init__(self, engine: Engine, fronts: FrontTable | None) -> None:
        self._engine = engine
        self._fronts = fronts
        self._metrics: tuple[Metric, ...] = ()

    def read(self) -> None:
        """Look at the engine. Call it on the event loop; `collect` may run in any thread."""
        self._metrics = tuple(self._now())

    def collect(self) -> Iterable[Metric]:
        return self._metrics

    def _now(self) -> Iterable[Metric]:
        engine = self._engine
        now = engine.status()
        depth = GaugeMetricFamily("steno_queue_depth", "Queued jobs, by class.", labels=["class"])
        for priority in Priority:
            depth.add_metric([priority.name.lower()], now.queue_depth.get(priority, 0))
        yield depth
        yield GaugeMetricFamily("steno_active_requests", "Admitted requests and sessions.", engine.total_active)
        yield GaugeMetricFamily("steno_running_jobs", "Jobs in the backend.", now.running)
        if engine.live_capacity is not None:
            text = "Live sessions that fit, by the measured load of open ones."
            yield GaugeMetricFamily("steno_live_sessions_fit", text, engine.live_capacity)
        loaded = now.recogniser.state is LifecycleState.READY
        yield GaugeMetricFamily("steno_model_loaded", "1 while the model is in memory.", float(loaded))
        yield from _of_loads({"recogniser": now.recogniser, "aligner": now.aligner})
        if now.aligner is not None:
            aligner = float(now.aligner.state is LifecycleState.READY)
            yield GaugeMetricFamily("steno_aligner_loaded", "1 while the aligner is loaded.", aligner)
        if now.drafts is not None:
            yield CounterMetricFamily("steno_draft_tokens", "Draft tokens verified.", now.drafts.proposed)
            yield CounterMetricFamily("steno_draft_tokens_accepted", "Draft tokens accepted.", now.drafts.accepted)
        if now.slots is not None:
            yield from _of_slots(now.slots)
        if now.gpus:
            yield from _of_gpus(now.gpus)
        if now.servers is not None:
            yield from _of_servers(now.servers, now.failovers)
        yield GaugeMetricFamily("steno_worker_alive", "1 while the scheduler runs.", float(now.is_working))
        restarts = now.worker_restarts if self._fronts is None else self._fronts.head(Head.WORKER_DEATHS)
        if restarts is not None:
            text = "Worker processes that died and were replaced."
            yield CounterMetricFamily("steno_worker_restarts", text, restarts)
        if self._fronts is not None:
            yield from _of_fronts(self._fronts)
        yield GaugeMetricFamily("steno_draining", "1 while the server shuts down.", float(engine.draining))


def _of_loads(lanes: Mapping[str, LaneStatus | None]) -> Iterable[Metric]:
    loads = CounterMetricFamily("steno_model_loads", "Successful loads of a model.", labels=["model"])
    failures = CounterMetricFamily("steno_model_load_failures", "Failed loads of a model.", labels=["model"])
    for name, lane in lanes.items():
        if lane is not None:
            loads.add_metric([name], lane.loads)
            failures.add_metric([name], lane.failures)
    yield from (loads, failures)


def _of_slots(usage: SlotUsage) -> Iterable[Metric]:
    text = "KV cache slots: used by work in progress, kept by live utterances between their steps, and in total."
    slots = GaugeMetricFamily("steno_kv_slots", text, labels=["class", "state"])
    for one in usage.by_kind():
        for state, count in (("active", one.active), ("idle", one.idle), ("total", one.total)):
            slots.add_metric([one.kind, state], count)
    yield slots
    text = "Work that outgrew its KV cache slot while all longer ones were busy."
    yield CounterMetricFamily("steno_slot_preemptions", text, usage.preemptions)


def _of_gpus(gpus: Sequence[Gpu]) -> Iterable[Metric]:
    text = "GPU memory: used by all processes, reserved by steno's engine, and in total. One series for each engine."
    memory = GaugeMetricFamily("steno_gpu_memory_bytes", text, labels=["gpu", "name", "kind"])
    for number, gpu in enumerate(gpus):
        for kind, mb in (("used", gpu.used_mb), ("reserved", gpu.reserved_mb), ("total", gpu.total_mb)):
            memory.add_metric([str(number), gpu.name, kind], mb * 2**20)
    yield memory


def _of_fronts(table: FrontTable) -> Iterable[Metric]:
    text = "Processes that serve the port together, and answer."
    yield GaugeMetricFamily("steno_fronts_running", text, table.head(Head.RUNNING))
    yield GaugeMetricFamily("steno_fronts_expected", "How many of them there should be.", table.head(Head.EXPECTED))
    text = "How often one of them died and was started again."
    yield CounterMetricFamily("steno_front_restarts", text, table.head(Head.RESTARTS))


def _of_servers(servers: Sequence[ServerStatus], failovers: int) -> Iterable[Metric]:
    text = "1 while the vLLM server can be used; missing while it is not used."
    up = GaugeMetricFamily("steno_vllm_server_up", text, labels=["server"])
    requests = CounterMetricFamily("steno_vllm_requests", "Requests sent to the vLLM server.", labels=["server"])
    for each in servers:
        if each.is_checked:
            up.add_metric([each.url], float(each.is_up))
        requests.add_metric([each.url], each.requests)
    yield from (up, requests)
    text = "Requests sent to another vLLM server, or again, after one failed."
    yield CounterMetricFamily("steno_vllm_failovers", text, failovers)
