"""Stored jobs through the clients, against real servers."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from recordings import repeated
from running import PATIENCE_S, RunningServer, until
from steno.client import AsyncClient, Client, ConnectionLostError, JobStatus, ServerError
from steno.client.job_requests import MAX_PAUSE_S, JobPages, JobStream, submission_fields
from steno.errors import InvalidRequestError

KEYS = {"API_KEYS": "k,other"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    database = tmp_path_factory.mktemp("jobs") / "jobs.db"
    with RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(database), **KEYS) as server:
        yield server


@pytest.fixture(scope="module")
def talk(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many pieces."""
    file = tmp_path_factory.mktemp("recordings") / "talk.wav"
    file.write_bytes(repeated(fixtures / "weather.flac", 20))
    return file


def slow(database: Path, **more: str) -> RunningServer:
    """Takes five seconds for `talk`: its progress, stored once a second, is seen."""
    one_slot = {"WORKERS": "1", "MODEL_ID": "scripted@60ms"}
    return RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(database), **one_slot, **more)


def test_a_job_is_stored_watched_and_its_result_fetched(server: RunningServer, fixtures: Path) -> None:
    seen: list[JobStatus] = []
    with Client(server.url, "k") as client:
        sent: list[int] = []
        job = client.submit_job(fixtures / "letter.flac", "subtitles", on_sent=sent.append, response_format="vtt")
        assert (job.kind, job.state, job.source) == ("subtitles", "queued", "letter.flac")
        assert sent[-1] == (fixtures / "letter.flac").stat().st_size
        done = client.wait_for_job(job.id, seen.append)
        assert (done.state, done.progress, done.problem) == ("succeeded", 1.0, None)
        assert done == seen[-1] == client.job(job.id)
        assert done.audio_s == pytest.approx(3.66, abs=0.1)
        result = client.job_result(job.id)
        assert result.text.startswith("WEBVTT\n")
        assert result.media_type.startswith("text/vtt")
        assert result.file_name == "letter.vtt"


async def test_the_asynchronous_client_does_the_same(server: RunningServer, fixtures: Path) -> None:
    seen: list[str] = []
    async with AsyncClient(server.url, "k") as client:
        job = await client.submit_job(str(fixtures / "letter.flac"), "transcription", response_format="text")
        done = await client.wait_for_job(job.id, lambda each: seen.append(each.state))
        assert (done.state, seen[-1]) == ("succeeded", "succeeded")
        assert (await client.job_result(job.id)).text == "w0 w1 w2 w3 w4 w5 w6\n"
        assert job.id in [each.id for each in await client.jobs()]
        assert (await client.cancel_job(job.id)).state == "succeeded"
        assert (await client.job_result(job.id)).text, "a job that has ended keeps its result"
        assert (await client.delete_job(job.id)).state == "succeeded"
        with pytest.raises(ServerError, match="there is no job"):
            await client.job(job.id)


def test_a_repeated_submission_with_the_same_key_stores_one_job(server: RunningServer, fixtures: Path) -> None:
    with Client(server.url, "k") as client:
        first, second = (
            client.submit_job(fixtures / "letter.flac", "transcription", idempotency_key="once") for _ in range(2)
        )
        assert first.id == second.id
        with pytest.raises(ServerError, match="was used for another job") as refused:
            client.submit_job(fixtures / "letter.flac", "subtitles", idempotency_key="once")
        assert refused.value.status == 409


def test_jobs_are_listed_over_pages_and_only_to_their_key(server: RunningServer, fixtures: Path) -> None:
    with Client(server.url, "k") as client, Client(server.url, "other") as other:
        stored = [client.submit_job(fixtures / "letter.flac", "transcription").id for _ in range(4)]
        assert [job.id for job in client.jobs(3)] == stored[:0:-1]
        assert {job.id for job in client.jobs(None)} >= set(stored)
        assert other.jobs() == []
        with pytest.raises(ServerError) as refused:
            other.job(stored[0])
        assert refused.value.status == 404
        with pytest.raises(InvalidRequestError, match="invalid limit 0"):
            client.jobs(0)


def test_more_jobs_than_a_page_holds_are_all_listed() -> None:
    def page(*numbers: int, has_more: bool) -> dict[str, object]:
        rest = {"kind": "subtitles", "state": "queued", "options": {}, "attempts": 0, "progress": 0.0}
        return {"data": [{"id": str(n), "created_at": 100.0 - n, **rest} for n in numbers], "has_more": has_more}

    pages = JobPages(None)
    assert pages.query == {"limit": "100"}
    pages.add(page(1, 2, has_more=True))
    assert pages.query == {"limit": "100", "before": "98.0"}
    pages.add(page(2, 3, has_more=True))
    assert [job.id for job in pages.jobs] == ["1", "2", "3"]
    assert pages.has_more
    pages.add(page(3, has_more=True))
    assert not pages.has_more, "a page without new jobs is the last one"


def test_a_failed_job_says_why_and_has_no_result(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "letter.mp3").write_text("this is no audio")
    with Client(server.url, "k") as client:
        job = client.submit_job(tmp_path / "letter.mp3", "transcription")
        failed = client.wait_for_job(job.id)
        assert failed.state == "failed"
        assert "not an audio file" in (failed.problem or "")
        with pytest.raises(ServerError, match="the job failed: ") as refused:
            client.job_result(job.id)
        assert refused.value.status == 409


def test_a_running_job_can_be_cancelled_and_reports_its_progress(tmp_path: Path, talk: Path) -> None:
    with slow(tmp_path / "jobs.db") as server, Client(server.url) as client:
        job = client.submit_job(talk, "transcription")
        with pytest.raises(ServerError, match="it has no result yet") as early:
            client.job_result(job.id)
        assert early.value.status == 409
        until(lambda: (client.job(job.id).time_left_s or 0) > 0)
        running = client.job(job.id)
        assert running.state == "running"
        assert 0 < running.progress < 1
        assert running.real_time_factor
        assert client.cancel_job(job.id).state == "cancelled"
        assert client.wait_for_job(job.id).state == "cancelled"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_waiting_survives_the_end_of_the_server_and_its_restart(
    tmp_path: Path, talk: Path, end: signal.Signals
) -> None:
    seen: list[JobStatus] = []
    ended: list[JobStatus] = []

    def wait(url: str, job: str) -> None:
        with Client(url) as client:
            ended.append(client.wait_for_job(job, seen.append))

    with slow(tmp_path / "jobs.db") as first, Client(first.url) as client:
        job = client.submit_job(talk, "transcription", response_format="text")
        waiter = threading.Thread(target=wait, args=(first.url, job.id), daemon=True)
        waiter.start()
        until(lambda: bool(seen) and 0 < seen[-1].progress < 1)
        first.process.send_signal(end)
        first.process.wait(PATIENCE_S)
        port = str(httpx.URL(first.url).port)
    with slow(tmp_path / "jobs.db", PORT=port) as second, Client(second.url) as client:
        waiter.join(PATIENCE_S)
        assert ended
        assert ended[0].state == "succeeded"
        assert client.job_result(job.id).text.startswith("w0 w1 w2")


def test_a_server_that_never_was_there_is_not_waited_for() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerError, match="is the server up"):
        client.wait_for_job("job_1")


def test_a_server_without_jobs_says_so(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server, Client(server.url) as client:
        with pytest.raises(ServerError, match="JOBS_DB") as refused:
            client.submit_job(fixtures / "letter.flac", "transcription")
        assert refused.value.status == 400


def test_a_url_is_fetched_by_the_server(tmp_path: Path, fixtures: Path) -> None:
    url_settings = {"ALLOW_URLS": "true", "URL_SCHEMES": "http", "URL_ALLOWLIST": "127.0.0.1"}
    page = "/page/icon.svg"
    with (
        RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(tmp_path / "jobs.db"), **url_settings) as server,
        Client(server.url) as client,
    ):
        job = client.submit_job(server.url + page, "transcription", response_format="text")
        assert (job.audio_url, job.recording, job.source) == (server.url + page, None, server.url + page)
        assert "not an audio file" in (client.wait_for_job(job.id).problem or "")


def test_what_is_lost_is_tried_again_with_growing_pauses_until_the_time_is_over() -> None:
    now = 0.0
    stream = JobStream(60.0, clock=lambda: now)
    stream.read(": ping")
    lost = ServerError("the connection to the server failed")
    pauses = [stream.pause_s(lost) for _ in range(12)]
    assert pauses[0] < pauses[2] < pauses[4] <= MAX_PAUSE_S * 1.25
    now = 59.0
    stream.pause_s(ServerError("draining", 503))
    now = 60.0
    with pytest.raises(ConnectionLostError, match=r"^the server was lost for 60 s: the connection"):
        stream.pause_s(lost)
    stream.read(": ping")
    assert stream.pause_s(None) < 1, "an event ends the loss"


def test_a_refusal_is_not_tried_again() -> None:
    stream = JobStream(60.0)
    stream.read(": ping")
    for status in (400, 401, 404):
        with pytest.raises(ServerError, match="no"):
            stream.pause_s(ServerError("no", status))


def test_options_become_form_fields() -> None:
    options = {"force": True, "track": None, "keywords": ("a", "b"), "n": 2}
    sent = {"force": "true", "keywords": ["a", "b"], "n": "2", "kind": "alignment", "idempotency_key": "i"}
    assert submission_fields("alignment", options, None, "i") == sent
