"""Jobs over HTTP, on the real server: what is stored survives it, each client sees its own, limits hold."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from outbound.web_server import HOST, WebServer
from running import EMBEDDED, PATIENCE_S, TLS, RunningServer, until
from speech import word_error_rate

KINDS = ("transcription", "subtitles", "translation", "alignment")


def server_of(folder: Path, **settings: str) -> RunningServer:
    return RunningServer(**{"ASR_BACKEND": EMBEDDED, "JOBS_DB": str(folder / "jobs.db"), **settings})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with server_of(
        tmp_path_factory.mktemp("jobs"),
        API_KEYS="one,two",
        ALLOW_URLS="true",
        URL_SCHEMES="http",
        URL_ALLOWLIST=HOST,
    ) as server:
        yield server


def call(server: RunningServer, method: str, path: str, key: str = "one", **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, f"{server.url}/v1/jobs{path}", headers=headers, timeout=PATIENCE_S, **options)


def submit(
    server: RunningServer, recording: Path, kind: str = "transcription", key: str = "one", **fields: Any
) -> httpx.Response:
    files = {"file": (recording.name, recording.read_bytes())}
    return call(server, "POST", "", key, files=files, data={"kind": kind, **fields})


def ended(server: RunningServer, job: str, key: str = "one") -> dict[str, Any]:
    states = ("succeeded", "failed", "cancelled")
    until(lambda: call(server, "GET", f"/{job}", key).json()["state"] in states)
    found: dict[str, Any] = call(server, "GET", f"/{job}", key).json()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_is_what_the_route_responds(server: RunningServer, fixtures: Path, kind: str) -> None:
    fields = {"text": "we are at the market", "force": "true", "response_format": "srt"} if kind == "alignment" else {}
    answer = submit(server, fixtures / "market.flac", kind, **fields)
    assert answer.status_code == 202, answer.text
    job = ended(server, answer.json()["id"])
    assert (job["state"], job["recording"], job["kind"]) == ("succeeded", "market.flac", kind), job
    assert job["audio_s"] > 1
    assert job["real_time_factor"] > 0
    timings = job["timings"]
    assert timings["recognize"] > 0
    assert timings["total"] <= job["finished_at"] - job["started_at"]
    assert timings["real_time_factor"] == pytest.approx(timings["total"] / job["audio_s"], abs=0.01)
    assert ("match" in timings) == (kind == "alignment")
    result = call(server, "GET", f"/{job['id']}/result")
    route = {"subtitles": kind}.get(kind, f"{kind}s")
    direct = httpx.post(
        f"{server.url}/v1/audio/{route}",
        files={"file": ("market.flac", (fixtures / "market.flac").read_bytes())},
        data=fields,
        headers={"Authorization": "Bearer one"},
        timeout=PATIENCE_S,
        verify=TLS,
    )
    assert result.content == direct.content
    for name in ("content-type", "content-disposition", "x-timing-mode"):
        assert result.headers.get(name) == direct.headers.get(name)


def test_metrics_count_jobs_and_long_options_are_shortened(server: RunningServer, fixtures: Path) -> None:
    text = "we are at the market " * 100
    job = submit(server, fixtures / "market.flac", "alignment", text=text, force="true").json()
    assert job["options"]["text"] == text[:200] + "…"
    assert ended(server, job["id"])["state"] == "succeeded"
    metrics = server.get("/metrics").text
    lines = [line for line in metrics.splitlines() if line.startswith("steno_stored_jobs{")]
    counts = {line.split(chr(34))[1]: float(line.split()[-1]) for line in lines}
    assert set(counts) == {"queued", "running", "succeeded", "failed", "cancelled"}
    assert counts["succeeded"] >= 1


def test_a_client_sees_its_own_jobs_alone(server: RunningServer, fixtures: Path) -> None:
    mine = submit(server, fixtures / "market.flac").json()["id"]
    theirs = submit(server, fixtures / "market.flac", key="two").json()["id"]
    for method, path in (("GET", ""), ("GET", "/result"), ("GET", "/events"), ("POST", "/cancel"), ("DELETE", "")):
        answer = call(server, method, f"/{theirs}{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    listed = [job["id"] for job in call(server, "GET", "").json()["data"]]
    assert mine in listed
    assert theirs not in listed
    assert httpx.get(f"{server.url}/v1/jobs", verify=TLS).status_code == 401


def test_jobs_are_listed_page_by_page_the_newest_first(server: RunningServer, fixtures: Path) -> None:
    made = [submit(server, fixtures / "market.flac", key="two").json()["id"] for _ in range(3)]
    first = call(server, "GET", "?limit=2", "two").json()
    assert [job["id"] for job in first["data"]] == made[:0:-1]
    assert first["has_more"]
    rest = call(server, "GET", f"?limit=2&before={first['data'][-1]['created_at']}", "two").json()
    assert rest["data"][0]["id"] == made[0]
    for job in made:
        ended(server, job, "two")


@pytest.mark.slow
def test_events_are_the_job_at_each_change_until_its_end(server: RunningServer, fixtures: Path) -> None:
    job = submit(server, fixtures / "address.opus").json()["id"]
    events = [
        json.loads(line.removeprefix("data: "))
        for line in call(server, "GET", f"/{job}/events").text.splitlines()
        if line.startswith("data: ")
    ]
    states = [event["state"] for event in events]
    assert states[-1] == "succeeded"
    assert [state for state, _ in itertools.groupby(states)] in (
        ["queued", "running", "succeeded"],
        ["running", "succeeded"],
    )
    parts = [event["progress"] for event in events]
    assert parts == sorted(parts)
    assert len(set(parts)) > 2


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"kind": "dance"}, 400, "kind"),
        ({}, 400, "kind"),
        ({"kind": "subtitles", "response_format": "docx"}, 400, "response_format"),
        ({"kind": "subtitles", "max_lines": "9"}, 400, "max_lines"),
        ({"kind": "subtitles", "language": "xx"}, 400, "language"),
        ({"kind": "transcription", "stream": "true"}, 400, "stream"),
        ({"kind": "alignment"}, 400, "text"),
        ({"kind": "transcription", "model": "other"}, 404, "model"),
        ({"kind": "transcription", "callback_url": "https://example.org/"}, 400, "callback_url"),
        ({"kind": "transcription", "audio_url": "http://example.org/a.mp3"}, 400, "audio_url"),
    ],
)
def test_what_is_wrong_is_said_at_once(
    server: RunningServer, fixtures: Path, fields: dict[str, str], status: int, param: str
) -> None:
    before = len(call(server, "GET", "?limit=100").json()["data"])
    files = {"file": ("market.flac", (fixtures / "market.flac").read_bytes())}
    answer = call(server, "POST", "", files=files, data=fields)
    assert (answer.status_code, (answer.json()["error"]["param"] or "").removeprefix("body.")) == (status, param)
    assert len(call(server, "GET", "?limit=100").json()["data"]) == before


def test_a_job_without_a_recording_or_with_a_bad_one(server: RunningServer, tmp_path: Path) -> None:
    assert call(server, "POST", "", data={"kind": "subtitles"}).status_code == 400
    text = tmp_path / "text.mp3"
    text.write_text("no audio at all")
    job = ended(server, submit(server, text).json()["id"])
    assert (job["state"], job["error"]["code"]) == ("failed", "not_audio")
    answer = call(server, "GET", f"/{job['id']}/result")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_failed")
    assert call(server, "DELETE", f"/{job['id']}").status_code == 200
    assert call(server, "GET", f"/{job['id']}").status_code == 404


def test_a_recording_at_a_url_is_fetched_when_the_job_runs(server: RunningServer, fixtures: Path) -> None:
    with WebServer({"weather.flac": (fixtures / "weather.flac").read_bytes()}) as web:
        made = call(
            server, "POST", "", data={"kind": "transcription", "audio_url": web.url + "/files/weather.flac"}
        ).json()
        assert ended(server, made["id"])["state"] == "succeeded"
        text = call(server, "GET", f"/{made['id']}/result").json()["text"]
        assert word_error_rate("weather.flac", text) <= 0.25
        inside = call(
            server, "POST", "", data={"kind": "transcription", "audio_url": web.url + "/redirect/http://localhost/"}
        ).json()
        assert ended(server, inside["id"])["error"]["code"] == "url_not_allowed"


def test_an_idempotency_key_makes_one_job_of_many_requests(server: RunningServer, fixtures: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: submit(server, fixtures / "market.flac", idempotency_key="a"), range(8)))
    assert {answer.status_code for answer in made} == {202}
    assert len({answer.json()["id"] for answer in made}) == 1
    other = submit(server, fixtures / "market.flac", "subtitles", idempotency_key="a")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    other = submit(server, fixtures / "weather.flac", idempotency_key="a")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert submit(server, fixtures / "market.flac", key="two", idempotency_key="a").json()["id"] != made[0].json()["id"]


@pytest.mark.slow
def test_sigkill_in_the_middle_costs_a_piece_and_changes_nothing(fixtures: Path, tmp_path: Path) -> None:
    settings = {"CONCURRENT_JOBS": "1", "SPHINX_WORKERS": "1"}
    with server_of(tmp_path, **settings) as server:
        job = submit(server, fixtures / "address.opus", "subtitles").json()["id"]
        until(lambda: call(server, "GET", f"/{job}").json()["progress"] > 0.2)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with server_of(tmp_path, **settings) as server:
        done = ended(server, job)
        assert (done["state"], done["attempts"]) == ("succeeded", 2)
        assert "results were known from an earlier attempt" in server.log()
        interrupted = call(server, "GET", f"/{job}/result").text
        whole = submit(server, fixtures / "address.opus", "subtitles").json()["id"]
        assert ended(server, whole)["state"] == "succeeded"
        assert call(server, "GET", f"/{whole}/result").text == interrupted


@pytest.mark.slow
def test_fifty_jobs_of_three_keys_all_end_and_quotas_hold(fixtures: Path, tmp_path: Path) -> None:
    keys = ("a", "b", "c")
    with server_of(
        tmp_path, ASR_BACKEND="scripted", API_KEYS=",".join(keys), CONCURRENT_JOBS="4", JOBS_PER_KEY="6"
    ) as server:
        wanted = [(keys[n % 3], n) for n in range(50)]
        with ThreadPoolExecutor(10) as threads:
            answers = list(
                threads.map(lambda one: (one[0], submit(server, fixtures / "weather.flac", key=one[0])), wanted)
            )
        taken = [(key, answer.json()["id"]) for key, answer in answers if answer.status_code == 202]
        refused = [answer for _, answer in answers if answer.status_code != 202]
        assert all((answer.status_code, answer.json()["code"]) == (429, "job_quota_exceeded") for answer in refused)
        assert len(taken) + len(refused) == 50
        assert all(ended(server, job, key)["state"] == "succeeded" for key, job in taken)
        counts = Counter(key for key, _ in taken)
        for key in keys:
            listed = call(server, "GET", "?limit=100", key).json()["data"]
            assert len(listed) == counts[key] >= 6
        assert submit(server, fixtures / "market.flac", key="a").status_code == 202, "the quota is of open jobs"


@pytest.mark.slow
def test_uploads_and_live_work_go_before_jobs_and_a_full_server_takes_jobs(fixtures: Path, tmp_path: Path) -> None:
    with server_of(tmp_path, CONCURRENT_JOBS="4", MAX_QUEUE="0", SPHINX_WORKERS="1") as server:
        jobs = [submit(server, fixtures / "address.opus").json()["id"] for _ in range(3)]
        until(lambda: any(call(server, "GET", f"/{job}").json()["state"] == "running" for job in jobs))
        began = time.monotonic()
        answer = httpx.post(
            f"{server.url}/v1/audio/transcriptions",
            files={"file": (fixtures / "market.flac").read_bytes()},
            timeout=PATIENCE_S,
            verify=TLS,
        )
        took_s = time.monotonic() - began
        assert answer.status_code == 200, answer.text
        states = [call(server, "GET", f"/{job}").json()["state"] for job in jobs]
        assert "succeeded" not in states, f"an upload of two seconds took {took_s:.1f} s, as long as a job"
        for job in jobs:
            call(server, "DELETE", f"/{job}")


def test_watchers_and_running_jobs_do_not_hold_up_the_end(fixtures: Path, tmp_path: Path) -> None:
    with server_of(tmp_path, CONCURRENT_JOBS="1", SPHINX_WORKERS="1") as server:
        jobs = [submit(server, fixtures / "address.opus").json()["id"] for _ in range(3)]
        until(lambda: call(server, "GET", f"/{jobs[0]}").json()["state"] == "running")
        with ThreadPoolExecutor(1) as thread:
            watching = thread.submit(call, server, "GET", f"/{jobs[2]}/events")
            until(lambda: "/events" in server.log() or watching.running())
            time.sleep(0.5)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 15
            assert '"state":"queued"' in watching.result().text
        assert server.log().count("attempt 1 at") == 1
        assert "Traceback" not in server.log()


def test_without_jobs_db_the_answer_names_it() -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        answer = call(server, "GET", "")
        assert answer.status_code == 400
        assert "JOBS_DB" in answer.json()["message"]


def test_a_place_where_jobs_cannot_be_stored_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssertionError, match="JOBS_DB="), server_of(tmp_path / "file"):
        pass
