"""`GATEWAY_MODE`: the worker process of a real server is started by work, ends when idle, and may die at any time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running import RunningServer, is_alive, post, until
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.protocol import BackendInfo, EngineInfo, EngineStatus
from steno.engine.worker.worker_client import WorkerClient
from steno.engine.worker.worker_server import EXIT_BROKEN
from steno.engine.worker.worker_supervisor import WorkerSupervisor
from steno.errors import ModelLoadError
from talking import pcm_file, said, talk

GATEWAY = {"GATEWAY_MODE": "true", "ASR_BACKEND": "scripted"}


def workers_of(server: RunningServer) -> list[psutil.Process]:
    return server.children("worker")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(**GATEWAY, MODEL_ID="scripted@20ms") as server:
        yield server


def kill(server: RunningServer, how: signal.Signals = signal.SIGKILL) -> int:
    until(lambda: len(workers_of(server)) == 1)
    worker = workers_of(server)[0]
    worker.send_signal(how)
    return worker.pid


def restarts(server: RunningServer) -> int:
    return int(server.health()["worker_restarts"])


def test_no_worker_runs_before_there_is_work_and_none_after(fixtures: Path) -> None:
    with RunningServer(**GATEWAY, IDLE_TIMEOUT="1") as server:
        assert workers_of(server) == []
        assert (server.health()["model_state"], server.health()["worker_restarts"]) == ("unloaded", 0)
        first = post(server, fixtures / "weather.flac").json()["text"]
        worker = workers_of(server)[0]
        assert server.health()["model_state"] == "ready"
        until(lambda: not is_alive(worker))
        until(lambda: server.health()["model_state"] == "unloaded")
        assert (server.health()["status"], server.health()["worker_restarts"]) == ("ok", 0)
        assert post(server, fixtures / "weather.flac").json()["text"] == first


def test_an_upload_whose_worker_is_killed_is_answered(server: RunningServer, fixtures: Path) -> None:
    undisturbed = post(server, fixtures / "address.opus").json()["text"]
    before = restarts(server)

    async def main() -> Any:
        upload = asyncio.create_task(asyncio.to_thread(post, server, fixtures / "address.opus"))
        await asyncio.to_thread(until, lambda: server.health()["queued_jobs"] + server.health()["active_requests"] > 0)
        await asyncio.to_thread(kill, server)
        return await upload

    assert asyncio.run(main()).json()["text"] == undisturbed
    assert restarts(server) in (before, before + 1), "it may have been done before the signal"
    assert "steno_worker_restarts_total" in server.get("/metrics").text


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.slow)])
def test_a_live_session_outlives_its_worker(server: RunningServer, fixtures: Path, how: signal.Signals) -> None:
    speech = pcm_file(fixtures / "address.opus")[: 32_000 * 12]
    undisturbed = asyncio.run(said(server, speech)).text
    before = restarts(server)

    async def main() -> tuple[str, list[Any], list[int]]:
        async with talk(server) as conversation:
            await conversation.say(speech[: len(speech) // 2])
            await conversation.next(is_partial=True)
            await asyncio.to_thread(kill, server, how)
            await conversation.say(speech[len(speech) // 2 :])
            await conversation.close()
            return conversation.text, conversation.errors, [final["segment_id"] for final in conversation.finals]

    text, errors, ids = asyncio.run(main())
    assert (text, errors) == (undisturbed, [])
    assert ids == list(range(len(ids)))
    until(lambda: restarts(server) == before + 1)
    until(lambda: server.health()["status"] == "ok")


def test_measurements_of_the_worker_are_in_the_metrics(server: RunningServer, fixtures: Path) -> None:
    def audio_s() -> float:
        lines = server.get("/metrics").text.splitlines()
        return float(next(line.split()[-1] for line in lines if line.startswith("steno_audio_seconds_total")))

    before = audio_s()
    post(server, fixtures / "weather.flac").raise_for_status()
    until(lambda: audio_s() > before + 3)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_stays_behind(fixtures: Path, how: signal.Signals) -> None:
    with RunningServer(**GATEWAY, IDLE_TIMEOUT="0") as server:
        post(server, fixtures / "weather.flac").raise_for_status()
        (worker,) = workers_of(server)
        os.kill(server.process.pid, how)
        server.process.wait(30)
        until(lambda: not is_alive(worker))
    if how is signal.SIGINT:
        assert server.process.returncode == 0
        assert "hangs" not in server.log()
        assert "unloaded scripted" in server.log(), "the worker has ended as it should"
        assert "worker process" not in "".join(line for line in server.log().splitlines() if "ended" in line)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a stopped process with its parent")
def test_a_worker_that_hangs_ends_with_its_server(fixtures: Path) -> None:
    with RunningServer(**GATEWAY, IDLE_TIMEOUT="0") as server:
        post(server, fixtures / "weather.flac").raise_for_status()
        (worker,) = workers_of(server)
        worker.suspend()
        server.process.kill()
        server.process.wait(30)
        until(lambda: not is_alive(worker))


@pytest.mark.slow
def test_a_worker_that_cannot_start_is_tried_less_and_less_often_and_told() -> None:
    async def main() -> None:
        info = EngineInfo(BackendInfo("scripted", "scripted", ScriptedBackend.capabilities), None)
        async with WorkerSupervisor(60, {"ASR_BACKEND": "nonsense"}) as supervisor:
            client = WorkerClient(info, EngineStatus(capacity=1, device="cpu"), supervisor.connect, None)
            async with Engine(client, AdmissionLimits()) as engine, engine.admit() as ticket:
                began = time.monotonic()
                with pytest.raises(ModelLoadError, match="times in a row"):
                    await ticket.ready()
                assert time.monotonic() - began > 0.5 + 1.0 + 2.0
                assert engine.status().broken is not None
                assert supervisor.starts <= 7

    asyncio.run(main())


@pytest.mark.slow
def test_a_server_whose_worker_keeps_dying_is_not_ready(fixtures: Path) -> None:
    with RunningServer(**GATEWAY, MODEL_ID="scripted@20ms") as server:
        post(server, fixtures / "weather.flac").raise_for_status()
        assert server.get("/ready").status_code == 200

        async def main() -> None:
            async with talk(server) as conversation:
                deadline = time.monotonic() + 60
                while server.get("/ready").status_code == 200 and time.monotonic() < deadline:
                    for worker in workers_of(server):
                        worker.kill()
                    await conversation.say(bytes(3200))
                    await asyncio.sleep(0.05)
                answer = server.get("/ready")
                assert answer.status_code == 503
                assert "in a row" in answer.json()["reason"]
                assert server.health()["status"] == "degraded"

        asyncio.run(main())
        until(lambda: server.get("/ready").status_code == 200)
        post(server, fixtures / "weather.flac").raise_for_status()


def test_a_broken_device_ends_the_process_with_a_code_of_its_own() -> None:
    code = "from steno.engine.worker.worker_server import end_broken; end_broken('the device failed')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == EXIT_BROKEN
    assert "the device failed; the worker ends, and is started again" in ended.stderr


@pytest.mark.slow
def test_nothing_is_lost_while_the_worker_is_killed_all_the_time(tmp_path: Path) -> None:
    report = tmp_path / "chaos.json"
    subprocess.run([sys.executable, "-m", "benchmarks.chaos", "--quick", "--json", str(report)], check=True,
                   cwd=Path(__file__).parents[2], timeout=240)  # fmt: skip
    summary = json.loads(report.read_text())["summary"]
    assert (summary["finals_lost"], summary["finals_doubled"], summary["uploads_failed"]) == (0, 0, 0)
    assert summary["kills"] >= 3
