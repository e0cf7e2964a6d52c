"""`FRONTS`: several processes serve a port, as one server. Recognition is scripted here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import websockets

from running import PATIENCE_S, TLS, RunningServer, is_alive, post, until
from talking import BYTES_PER_S, Talk, pcm_file, talk

SCRIPTED = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@1ms", "FRONTS": "2"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
SESSIONS = 5
ENOUGH = 60
"""So many connections do not all go to one of two fronts."""


class GroupServer(RunningServer):
    """As a terminal starts it."""

    own_group = True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with GroupServer(
        **SCRIPTED, MAX_SESSIONS=str(ENOUGH), LIVE_BY_LOAD="false", JOBS_DB=str(tmp_path / "jobs.db")
    ) as server:
        yield server


@pytest.fixture(scope="module")
def pcm() -> bytes:
    return pcm_file(Path(__file__).parents[2] / "fixtures" / "train.flac")


def upload(server: RunningServer, body: Iterator[bytes]) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/audio/transcriptions", content=body, headers=MULTIPART, timeout=PATIENCE_S, verify=TLS
    )


def fronts_of(server: RunningServer) -> list[psutil.Process]:
    """The fronts, by number."""
    found = server.children("serve_front")
    return sorted(found, key=lambda child: (command := child.cmdline())[command.index("--number") + 1])


def front_of(conversation: Talk, fronts: list[psutil.Process]) -> int:
    """The number of the front that has the conversation's connection."""
    port = conversation.socket.local_address[1]
    for number, front in enumerate(fronts):
        if any(each.raddr and each.raddr.port == port for each in front.net_connections("tcp")):
            return number
    raise AssertionError("no front has this connection")


def metric(server: RunningServer, name: str, labels: str = "") -> float:
    """The sum of a metric's series; each stands there once."""
    lines = [line for line in server.get("/metrics").text.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    series = [line.rsplit(" ", 1)[0] for line in lines]
    assert len(series) == len(set(series)) > 0
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if labels in line)


async def open_on_each(
    server: RunningServer, stack: contextlib.AsyncExitStack
) -> tuple[list[psutil.Process], dict[int, Talk]]:
    """Open sessions until each front has one. Returns the fronts, and a session of each."""
    fronts = fronts_of(server)
    found: dict[int, Talk] = {}
    for _ in range(ENOUGH):
        conversation = await stack.enter_async_context(talk(server))
        found.setdefault(front_of(conversation, fronts), conversation)
        if len(found) == len(fronts):
            return fronts, found
    raise AssertionError(f"{ENOUGH} sessions went to one front")


async def end_of(conversation: Talk, pcm: bytes) -> str:
    listening = asyncio.create_task(conversation.until_closed())
    await conversation.say(pcm)
    await conversation.send({"action": "close"})
    await listening
    return conversation.text


# Limits and numbers


async def test_the_limit_of_sessions_holds_for_all_fronts_together() -> None:
    with GroupServer(**SCRIPTED, MAX_SESSIONS=str(SESSIONS), LIVE_BY_LOAD="false") as server:
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(SESSIONS):
                conversation = await stack.enter_async_context(talk(server))
                assert conversation.errors == []
            assert metric(server, "steno_live_sessions") == SESSIONS
            assert server.health()["active_requests"] == SESSIONS
            for _ in range(8):  # whichever front it meets
                async with talk(server) as refused:
                    assert [error["code"] for error in refused.errors] == ["OVERLOADED"]
        until(lambda: server.health()["active_requests"] == 0)


async def test_the_limit_of_a_key_holds_for_all_fronts_together() -> None:
    keys = {"API_KEYS": "first,second", "MAX_SESSIONS_PER_KEY": "2"}
    first, second = [("Authorization", "Bearer first")], [("Authorization", "Bearer second")]
    with GroupServer(**SCRIPTED, **keys) as server:
        async with talk(server, headers=first), talk(server, headers=first):
            for _ in range(6):
                async with talk(server, headers=first) as refused:
                    assert refused.messages[0].get("code") == "OVERLOADED"
            async with talk(server, headers=second) as welcome:
                assert welcome.errors == []


def test_the_limit_of_a_client_s_uploads_holds_for_all_fronts_together(fixtures: Path) -> None:
    recording = (fixtures / "train.flac").read_bytes()
    with GroupServer(**SCRIPTED, MAX_UPLOADS_PER_CLIENT="2") as server, ThreadPoolExecutor(2) as pool:
        finish = threading.Event()

        def slowly() -> Iterator[bytes]:
            body = httpx.Request("POST", server.url, files={"file": ("a.flac", recording)}, headers=MULTIPART).read()
            yield body[:1000]
            assert finish.wait(PATIENCE_S)
            yield body[1000:]

        slow = [pool.submit(upload, server, slowly()) for _ in range(2)]
        try:
            until(lambda: metric(server, "steno_receiving_uploads") == 2)
            refused = [post(server, fixtures / "train.flac").status_code for _ in range(6)]
        finally:
            finish.set()
        assert refused == [429] * 6
        assert [each.result().status_code for each in slow] == [200] * 2
        assert post(server, fixtures / "train.flac").status_code == 200


def test_metrics_of_all_fronts_add_up(server: RunningServer, fixtures: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: post(server, fixtures / "train.flac"), range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    route = 'route="/v1/audio/transcriptions"'
    for _ in range(4):  # whichever front answers
        until(lambda: metric(server, "steno_http_requests_total", route) == 12)
        until(lambda: metric(server, "steno_real_time_factor_count") == 12)
        assert metric(server, "steno_fronts_running") == 2
    assert server.health()["fronts"] == {"expected": 2, "running": 2, "restarts": 0}


# Deaths


@pytest.mark.slow
async def test_a_front_that_dies_comes_back_and_the_sessions_of_the_other_go_on(
    server: RunningServer, pcm: bytes
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        fronts, sessions = await open_on_each(server, stack)
        total = int(metric(server, "steno_live_sessions"))
        await sessions[0].say(pcm[:BYTES_PER_S])
        lost = sum(1 for each in fronts[1].net_connections("tcp") if each.status == "ESTABLISHED")
        fronts[1].kill()
        with pytest.raises(websockets.ConnectionClosed):
            await sessions[1].socket.recv()
        until(lambda: server.health()["fronts"] == {"expected": 2, "running": 2, "restarts": 1})
        assert metric(server, "steno_live_sessions") == total - lost
        assert await end_of(sessions[0], pcm[BYTES_PER_S:]) != ""
    until(lambda: server.health()["active_requests"] == 0)
    assert server.stop() == 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.slow
async def test_no_process_outlives_the_server(server: RunningServer, fixtures: Path, sent: signal.Signals) -> None:
    post(server, fixtures / "train.flac").raise_for_status()
    processes = server.children()
    assert len([each for each in processes if "worker" in each.cmdline()]) == 1
    if sent is signal.SIGINT:
        os.killpg(server.process.pid, sent)  # Ctrl-C in a terminal
        assert server.process.wait(PATIENCE_S) == 0
    else:
        server.process.kill()
        server.process.wait(PATIENCE_S)
    until(lambda: not any(is_alive(each) for each in processes))


# Draining


@pytest.mark.slow
async def test_sessions_of_all_fronts_are_drained(server: RunningServer, pcm: bytes) -> None:
    async with contextlib.AsyncExitStack() as stack:
        _, sessions = await open_on_each(server, stack)
        for conversation in sessions.values():
            await conversation.say(pcm[: 2 * BYTES_PER_S])
            await conversation.next(is_partial=True)
        server.process.send_signal(signal.SIGTERM)
        for conversation in sessions.values():
            await conversation.next(status="draining")
            listening = asyncio.create_task(conversation.until_closed())
            with contextlib.suppress(websockets.ConnectionClosed):
                await conversation.say(bytes(2 * BYTES_PER_S))
            await listening
            assert conversation.text != ""
            assert [error["code"] for error in conversation.errors] == ["DRAINING"]
            assert conversation.socket.close_code == 1012
    assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_the_limit_of_requests_and_a_second_signal_are_for_all_fronts_together(fixtures: Path) -> None:
    slow = {"MODEL_ID": "scripted@1000ms", "SPHINX_WORKERS": "2", "MAX_QUEUE": "2"}
    with GroupServer(**{**SCRIPTED, **slow}) as server, ThreadPoolExecutor(10) as pool:
        requests = [pool.submit(post, server, fixtures / "train.flac") for _ in range(10)]
        until(lambda: sum(each.done() for each in requests) == 7)
        assert {each.result().status_code for each in requests if each.done()} == {429}
        assert server.health()["active_requests"] == 3  # one runs, as the other slot is for live sessions, and two wait
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.log().count("draining: ") == 2)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        assert sorted(each.result().status_code for each in requests) == [429] * 7 + [503] * 3


# Stored jobs


def test_jobs_that_any_front_stores_run_once(server: RunningServer, fixtures: Path) -> None:
    recording = (fixtures / "train.flac").read_bytes()

    def submit(n: int) -> str:
        data = {"kind": "transcription", "idempotency_key": f"key {n % 10}"}
        answer = httpx.post(
            f"{server.url}/v1/jobs", data=data, files={"file": ("a.flac", recording)}, timeout=PATIENCE_S, verify=TLS
        )
        identifier: str = answer.raise_for_status().json()["id"]
        return identifier

    with ThreadPoolExecutor(6) as pool:
        jobs = set(pool.map(submit, range(20)))
    assert len(jobs) == 10  # of the 20 requests, two had the same key each

    def stored() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.get("/v1/jobs?limit=100").json()["data"]
        return found

    until(lambda: all(job["state"] == "succeeded" for job in stored()), seconds=20)
    found = stored()
    assert {job["id"] for job in found} == jobs
    assert len({job["created_at"] for job in found}) == 10
    assert [server.log().count(f"{job} attempt") for job in jobs] == [1] * 10


@pytest.mark.slow
def test_a_job_goes_on_when_the_front_that_runs_it_dies_and_any_front_can_cancel_it(
    tmp_path: Path, fixtures: Path
) -> None:
    slow = {"MODEL_ID": "scripted@300ms", "SPHINX_WORKERS": "2", "CONCURRENT_JOBS": "1"}
    with GroupServer(**{**SCRIPTED, **slow}, JOBS_DB=str(tmp_path / "jobs.db")) as server:
        recording = (fixtures / "train.flac").read_bytes()
        files, data = {"file": ("a.flac", recording)}, {"kind": "transcription"}
        first, second = (
            httpx.post(f"{server.url}/v1/jobs", data=data, files=files, timeout=PATIENCE_S, verify=TLS).json()["id"]
            for _ in range(2)
        )
        until(lambda: state_of(server, first) == "running")
        fronts_of(server)[0].kill()
        until(lambda: state_of(server, first) == "succeeded")
        assert server.log().count(f"{first} attempt") == 2
        until(lambda: state_of(server, second) == "running")
        for _ in range(4):  # whichever front it meets; the first one cancels, the next one deletes
            httpx.delete(f"{server.url}/v1/jobs/{second}", timeout=PATIENCE_S, verify=TLS)
        until(lambda: server.health()["queued_jobs"] == 0 and metric(server, "steno_running_jobs") == 0)
        assert state_of(server, second) is None


def state_of(server: RunningServer, job: str) -> str | None:
    """A job's state; None if there is none."""
    state: str | None = server.get(f"/v1/jobs/{job}").json().get("state")
    return state


# Start


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"USE_GRANIAN": "true"}, "USE_GRANIAN=true does not work with FRONTS"),
        ({"DEVICES": "cpu,cpu", "DEVICE": "cpu"}, "DEVICES contradicts DEVICE=cpu"),
        ({"DEVICES": "tpu:0"}, "must be auto, cpu, mps, cuda or cuda:N"),
        ({"JOBS_DB": "/proc/jobs.db"}, "JOBS_DB=/proc/jobs.db"),
    ],
)
def test_what_cannot_start_is_refused_once_and_by_name(settings: dict[str, str], problem: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "serve", "--port", "0"],
        env={**os.environ, **SCRIPTED, **settings}, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.count(problem) == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.slow
def test_unix_sockets_fit_although_the_folder_of_temporary_files_has_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with GroupServer(**SCRIPTED, JOBS_DB=str(tmp_path / "jobs.db"), TMPDIR=str(folder)) as server:
        assert server.health()["fronts"] == {"expected": 2, "running": 2, "restarts": 0}
        assert server.stop() == 0


def test_the_supervisor_imports_no_web_framework() -> None:
    code = (
        "import sys, steno.cli.serve, steno.server.run.front_supervisor\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert {"fastapi", "starlette", "uvicorn", "prometheus_client", "onnxruntime"}.isdisjoint(ended.stdout.split())
