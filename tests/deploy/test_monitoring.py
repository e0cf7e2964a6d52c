"""Prometheus' alerts and Grafana's dashboard name what a scraped server has, and are valid for both programs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from running import TLS, RunningServer, free_port, post, until
from steno.backends.base import Drafts, Gpu, ServerStatus, SlotUsage, SlotUse
from steno.engine.protocol import EngineStatus, LaneStatus
from steno.server.engine_collector import EngineCollector

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "steno.json").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
SELECTOR = re.compile(r"\b((?:steno|process)_\w+)(?:\{([^}]*)\})?")
ADDED_BY_PROMETHEUS = {"instance", "job", "le"}

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian: prometheus) is missing")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is missing")


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield from panel.get("panels", ())
        if panel["type"] != "row":
            yield panel


def dashboard_queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def labels_of(text: Iterable[str]) -> dict[str, set[str]]:
    """The labels of each series, by its name."""
    labels: dict[str, set[str]] = defaultdict(set)
    for exposition in text:
        for family in text_string_to_metric_families(exposition):
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            for suffix in suffixes:
                labels[family.name + suffix].update(*(sample.labels for sample in family.samples))
    return labels


def of_rare_engines(*, is_checked: bool = True) -> str:
    """The metrics of an engine with GPUs, drafts and vLLM servers."""
    status = EngineStatus(
        capacity=1, device="cuda:0", aligner=LaneStatus(), gpus=(Gpu("H200", 1.0, 2.0, 3.0, 4.0),), drafts=Drafts(5, 4),
        slots=SlotUsage((SlotUse("short", 5, 9, 20), SlotUse("long", 1, 0, 4)), 2),
        servers=(ServerStatus("http://a", is_checked, None, 3, None, is_checked),), worker_restarts=1,
    )  # fmt: skip
    engine = SimpleNamespace(status=lambda: status, total_active=1, live_capacity=3.0, draining=False)
    registry = CollectorRegistry()
    collector = EngineCollector(engine, None)  # type: ignore[arg-type]
    collector.read()
    registry.register(collector)
    return generate_latest(registry).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    jobs = tmp_path_factory.mktemp("jobs") / "jobs.db"
    with RunningServer(ASR_BACKEND="scripted", GATEWAY_MODE="true", JOBS_DB=str(jobs)) as server:
        yield server


@pytest.fixture(scope="module")
def known(server: RunningServer, fixtures: Path) -> dict[str, set[str]]:
    """The labels of each series that a server has after an upload."""
    post(server, fixtures / "letter.flac").raise_for_status()
    with RunningServer(ASR_BACKEND="scripted", FRONTS="2") as fronts:
        return labels_of([server.get("/metrics").text, fronts.get("/metrics").text, of_rare_engines()])


@pytest.mark.parametrize(
    "queries", [[rule["expr"] for rule in ALERTS], dashboard_queries()], ids=["alerts", "dashboard"]
)
def test_every_metric_and_label_that_is_named_is_one_of_the_server(
    known: dict[str, set[str]], queries: list[str]
) -> None:
    named = [match for query in queries for match in SELECTOR.findall(query)]
    assert len(named) > 10
    assert {metric for metric, _ in named} <= set(known)
    for metric, matchers in named:
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        rare = {"code", "dialect", "reason", "what", "status", "state"}  # a series comes with the first event
        assert labels <= known[metric] | ADDED_BY_PROMETHEUS | rare, metric


def test_a_server_whose_worker_process_is_not_needed_yet_is_said_to_work() -> None:
    """So that an idle machine wakes nobody."""
    with RunningServer(ASR_BACKEND="scripted", GATEWAY_MODE="true") as idle:
        assert not idle.children()
        families = text_string_to_metric_families(idle.get("/metrics").text)
    alive = next(family for family in families if family.name == "steno_worker_alive")
    assert [sample.value for sample in alive.samples] == [1.0]


def test_a_vllm_server_that_is_not_used_is_not_said_to_be_down() -> None:
    assert "steno_vllm_server_up{" in of_rare_engines()
    assert "steno_vllm_server_up{" not in of_rare_engines(is_checked=False)


@needs_promtool
def test_promtool_accepts_the_configuration_and_the_tests_of_the_alerts_pass() -> None:
    for words in (("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")):
        done = subprocess.run(
            ["promtool", *words], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_in_the_tests_of_the_alerts_and_says_what_to_do() -> None:
    tested = (PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8")
    for rule in ALERTS:
        assert rule["alert"] in tested
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "action"}


def test_the_dashboard_is_one_of_grafana_s_schema() -> None:
    """Grafana's own models of a dashboard know every field, and write it back as it is."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(DASHBOARD)))
    assert without_defaults(DASHBOARD, again) == DASHBOARD


def without_defaults(wanted: Any, found: Any) -> Any:
    """What of `found` is in `wanted`: the models add the defaults of their fields."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: without_defaults(wanted[key], found[key]) for key in wanted if key in found}
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [without_defaults(*pair) for pair in zip(wanted, found, strict=True)]
    return found


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in [*panels(), *DASHBOARD["panels"]] if panel["type"] != "row"]
    assert len(set(ids)) == len({id(panel) for panel in panels()})


@pytest.mark.slow
@needs_prometheus
def test_prometheus_scrapes_the_server_and_answers_every_query(
    server: RunningServer, known: dict[str, set[str]], tmp_path: Path
) -> None:
    port = free_port()
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "500ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"] = [{"targets": [server.url.removeprefix("http://")]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def ask(query: str) -> list[Any]:
            try:
                answer = httpx.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": query}, timeout=30, verify=TLS
                )
            except httpx.TransportError:
                return []
            assert answer.status_code in (200, 503), (query, answer.text)
            return answer.json()["data"]["result"] if answer.status_code == 200 else []

        until(lambda: any(series["value"][1] == "1" for series in ask('up{job="steno"}')))
        until(lambda: ask("rate(steno_audio_seconds_total[10s])"))
        empty = []
        for query in dashboard_queries():
            asked = query.replace("$__rate_interval", "10s").replace("$instance", ".*")
            if not ask(asked):
                empty.append(query)
        assert all(ask(f"count({rule['expr']}) or vector(0)") for rule in ALERTS)
        firing = ask('ALERTS{alertstate="firing"}')
        assert firing == [], firing
        rare = ("_fit", "live_", "slot", "vllm", "draft", "gpu", "front", "aligner", "refusals", "failures", "endings")
        assert [query for query in empty if not any(word in query for word in rare)] == []
    finally:
        process.terminate()
        process.wait(30)
