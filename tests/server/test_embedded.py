"""The server with the embedded recogniser: its processes come on demand, go when idle, and may die."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from running import EMBEDDED, PATIENCE_S, RunningServer, cpu_s, post, until
from speech import word_error_rate


def recognisers_of(server: RunningServer) -> list[psutil.Process]:
    """PocketSphinx's processes; recordings are decoded in others."""
    return server.children("steno.backends.sphinx.sphinx_child")


def test_out_of_the_box_it_writes_what_is_said_and_is_unloaded_when_idle(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="auto", IDLE_TIMEOUT="2") as server:
        assert server.health()["model_loaded"] is False
        assert server.health()["mode"] == "embedded"
        assert word_error_rate("weather.flac", post(server, fixtures / "weather.flac").json()["text"]) <= 0.25
        assert server.health()["model_loaded"] is True
        assert recognisers_of(server) == [], "recognition alone needs none"
        times = post(server, fixtures / "weather.flac", response_format="srt")
        assert times.headers["x-timing-mode"] == "accurate"
        assert server.health()["aligner_state"] == "ready"
        assert recognisers_of(server), "the aligner's"
        until(lambda: (server.health()["model_state"], server.health()["aligner_state"]) == ("unloaded", "unloaded"))
        until(lambda: recognisers_of(server) == [])
        assert post(server, fixtures / "letter.flac").status_code == 200
        assert f"backend {EMBEDDED}: the best that can run here" in server.log()
        assert "for other languages and better accuracy" in server.log()


@pytest.mark.slow
def test_sphinx_recognisers_start_on_demand_and_end_when_idle(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="sphinx", IDLE_TIMEOUT="4") as server:
        assert recognisers_of(server) == []
        assert server.health()["model_loaded"] is False
        assert word_error_rate("weather.flac", post(server, fixtures / "weather.flac").json()["text"]) <= 0.25
        assert server.health()["model_loaded"] is True
        recognisers = recognisers_of(server)
        assert recognisers
        until(lambda: server.health()["model_loaded"] is False)
        until(lambda: not any(process.is_running() for process in recognisers))
        assert post(server, fixtures / "letter.flac").status_code == 200
        assert "backend sphinx" in server.log()
        assert "sphinx makes many times the errors of moonshine" in server.log()


@pytest.mark.slow
def test_the_work_of_a_recogniser_that_is_killed_is_done_by_its_successor(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="sphinx", SPHINX_WORKERS="1") as server, ThreadPoolExecutor() as pool:
        undisturbed = post(server, fixtures / "market.flac").json()["text"]
        (recogniser,) = recognisers_of(server)
        before = cpu_s([recogniser])
        running = pool.submit(post, server, fixtures / "market.flac")
        until(lambda: cpu_s([recogniser]) > before + 0.3)
        recogniser.kill()
        assert (running.result().status_code, running.result().json()["text"]) == (200, undisturbed)
        (successor,) = recognisers_of(server)
        assert successor.pid != recogniser.pid
        assert server.health()["worker_alive"] is True


@pytest.mark.slow
def test_a_server_that_is_killed_leaves_no_recogniser(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="sphinx") as server:
        post(server, fixtures / "letter.flac")
        recognisers = server.children()
        assert recognisers
        server.process.kill()
        gone, alive = psutil.wait_procs(recognisers, timeout=PATIENCE_S)
        assert (len(gone), alive) == (len(recognisers), [])


def test_a_preloaded_server_is_ready_when_its_model_is(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="sphinx", PRELOAD="true") as server:
        until(lambda: server.get("/ready").status_code == 200)
        assert server.health()["model_loaded"] is True
