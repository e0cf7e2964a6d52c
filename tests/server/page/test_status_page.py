"""The status page: Chromium, a real server, real work."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from running import RunningServer, post
from server.page.browser import Visit, axe_violations, chromium, microphone
from talking import BYTES_PER_S, pcm_file, talk

pytestmark = pytest.mark.slow  # a browser, which not every machine has

QUANTILE = """async ([before, after, share, where]) => {
    const { quantile, readMetrics } = await import("./page/js/prometheus_text.js");
    return quantile(readMetrics(before), readMetrics(after), "s", share, where);
}"""
SERIES = """async (text) => {
    const { readMetrics } = await import("./page/js/prometheus_text.js");
    return [...readMetrics(text)].flatMap(([name, samples]) => samples.map(({labels, value}) => [name, labels, value]));
}"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(microphone(tmp_path_factory.mktemp("microphone") / "said.wav", bytes(BYTES_PER_S))) as browser:
        yield browser


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", MAX_SESSIONS="1") as server:
        yield server


def visit(browser: Any, server: RunningServer, **context: Any) -> Visit:
    return Visit(browser, f"{server.url}/status", **context)


@contextmanager
def open_session(server: RunningServer, pcm: bytes) -> Iterator[None]:
    """A live session that has its first partial; another was refused. In a thread: the browser's loop is here."""
    talking, done = threading.Event(), threading.Event()

    async def session() -> None:
        async with talk(server) as first, talk(server) as second:
            assert second.errors
            await first.say(pcm)
            await first.next(is_partial=True)
            talking.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(session()))
    thread.start()
    try:
        assert talking.wait(60)
        yield
    finally:
        done.set()
        thread.join()


def test_sessions_lag_work_and_errors_are_shown_as_they_come(
    server: RunningServer, browser: Any, fixtures: Path
) -> None:
    with visit(browser, server) as shown:
        shown.see("#state", "ok")
        shown.see("#sessions-list", "native0")
        assert shown.page.is_visible("#no-errors")
        post(server, fixtures / "letter.flac").raise_for_status()
        shown.see("#requests tbody tr", "/v1/audio/transcriptions")
        shown.wait_until("document.getElementById('speed').textContent !== '–'")
        with open_session(server, pcm_file(fixtures / "letter.flac")):
            shown.see("#sessions", "1")
            shown.wait_until("document.getElementById('lag').textContent !== '–'")
        shown.see("#errors tbody tr", "overloaded")
        shown.see("#sessions", "0")
        assert "not admitted" in shown.page.inner_text("#errors tbody tr")
        assert shown.page.locator("#lag-chart polyline").count() >= 1
        assert shown.problems == []


def test_what_is_wrong_is_said_on_top(server: RunningServer, browser: Any) -> None:
    with visit(browser, server) as shown:
        assert shown.page.is_hidden("#problems")
        found = {**server.health(), "status": "degraded", "load_error": "the recogniser could not be loaded: no memory"}
        shown.page.route("**/health", lambda route: route.fulfill(json=found))
        shown.see("#problem-list", "no memory")
        shown.see("#state", "degraded")


def test_a_server_that_went_away_is_noticed(browser: Any) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server, visit(browser, server) as shown:
        shown.see("#state", "ok")
        server.stop()
        shown.see("#state", "no answer for")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    server: RunningServer, browser: Any, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    with visit(browser, server, bypass_csp=True, color_scheme=scheme, viewport=viewport) as shown:
        shown.see("#requests tbody tr", "/health")
        assert axe_violations(shown) == []
        assert shown.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_metrics_are_read_as_prometheus_reads_them(server: RunningServer, browser: Any) -> None:
    text = server.get("/metrics").text + 'odd{path="a\\\\b \\"c\\" {d}, e=\\"f\\"",g="\\n"} 1e-3\n'
    families = text_string_to_metric_families(text)
    expected = [[each.name, each.labels, each.value] for family in families for each in family.samples]
    assert len(expected) > 100
    with visit(browser, server) as shown:
        read = shown.page.evaluate(SERIES, text)
    by_name = lambda each: (each[0], sorted(each[1].items()), each[2])  # noqa: E731
    assert sorted(read, key=by_name) == sorted(expected, key=by_name)


@pytest.mark.parametrize(
    ("before", "after", "share", "expected"),
    [
        ((0, 0, 0), (5, 10, 10), 0.5, 1.0),
        ((5, 10, 10), (5, 20, 20), 0.5, 1.5),  # what came since
        ((5, 10, 10), (5, 20, 40), 0.95, 2.0),  # beyond the last bound: that bound
        ((5, 10, 10), (2, 2, 2), 0.5, 0.5),  # the server began anew
        ((5, 10, 10), (5, 10, 10), 0.5, None),  # nothing came
    ],
)
def test_quantiles_are_those_of_what_came_between_two_scrapes(
    server: RunningServer, browser: Any, before: Any, after: Any, share: float, expected: float | None
) -> None:
    def scrape(counts: tuple[int, ...]) -> str:
        bounds = zip(("1", "2", "+Inf"), counts, strict=True)
        return "".join(f's_bucket{{what="a",le="{le}"}} {count}\n' for le, count in bounds) + (
            's_bucket{what="b",le="1"} 9\ns_bucket{what="b",le="+Inf"} 9\n'
        )

    with visit(browser, server) as shown:
        assert shown.page.evaluate(QUANTILE, [scrape(before), scrape(after), share, {"what": "a"}]) == expected
