"""`steno jobs` against real servers: ids, tables, results, progress bars, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pylrc
import pytest
import srt

from command_line import run_command
from http_thread import HttpThread
from recordings import repeated
from running import PATIENCE_S, RunningServer, until
from steno.client import Client

KEYS = {"API_KEYS": "k"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    database = tmp_path_factory.mktemp("jobs") / "jobs.db"
    with RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(database), **KEYS) as server:
        yield server


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """Takes five seconds for `talk`: its progress, stored once a second, is seen."""
    database = tmp_path_factory.mktemp("jobs") / "jobs.db"
    slow = {"WORKERS": "1", "MODEL_ID": "scripted@60ms"}
    with RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(database), **slow, **KEYS) as server:
        yield server


@pytest.fixture(scope="module")
def talk(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("recordings") / "talk.wav"
    file.write_bytes(repeated(fixtures / "weather.flac", 30))
    return file


def environment(server: RunningServer) -> dict[str, str]:
    return {**os.environ, "STENO_URL": server.url, "STENO_API_KEY": "k"}


def jobs(server: RunningServer, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return run_command("jobs", *words, environment=environment(server))


def test_a_job_is_submitted_watched_and_its_result_written(
    server: RunningServer, fixtures: Path, tmp_path: Path
) -> None:
    sent = jobs(server, "submit", fixtures / "letter.flac", "-k", "subtitles", "-f", "vtt", "--new")
    job = sent.stdout.strip()
    assert (sent.returncode, job[:4]) == (0, "job_")
    assert f"letter.flac: {job}, queued" in sent.stderr
    watched = jobs(server, "watch", job)
    assert (watched.returncode, watched.stdout) == (0, "")
    assert f"letter.flac ({job}): 3.7 s of audio in " in watched.stderr
    assert "real-time factor" in watched.stderr
    result = jobs(server, "result", job, "-o", tmp_path / "out.vtt")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (tmp_path / "out.vtt").read_text() == jobs(server, "result", job).stdout
    assert (tmp_path / "out.vtt").read_text().startswith("WEBVTT\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "out.vtt"]


def test_submitting_again_stores_no_second_job_unless_it_is_asked_for(server: RunningServer, fixtures: Path) -> None:
    words = ("submit", fixtures / "market.flac", "-f", "text", "-q")
    first, again, new = jobs(server, *words), jobs(server, *words), jobs(server, *words, "--new")
    assert first.stdout == again.stdout != new.stdout
    other = jobs(server, "submit", fixtures / "market.flac", "-f", "json", "-q")
    assert other.stdout not in (first.stdout, new.stdout)


def test_several_recordings_are_worked_on_while_their_results_are_awaited(
    server: RunningServer, fixtures: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "talks", tmp_path / "out"
    folder.mkdir()
    (folder / "letter.flac").write_bytes((fixtures / "letter.flac").read_bytes())
    (folder / "broken.mp3").write_text("this is no audio")
    (folder / "notes.txt").write_text("not a recording, by its name")
    words = ("submit", folder, fixtures / "train.flac", "-k", "subtitles", "-d", out)
    ended = jobs(server, *words)
    assert ended.returncode == 1
    assert sorted(path.name for path in out.iterdir()) == ["letter.srt", "train.srt"]
    assert next(srt.parse((out / "letter.srt").read_text())).content.startswith("w0 w1")
    assert f"steno: {folder / 'broken.mp3'}: failed: " in ended.stderr
    assert "not an audio file" in ended.stderr
    assert "notes.txt" not in ended.stderr
    repeated_run = jobs(server, *words)
    assert "was submitted before, as job_" in repeated_run.stderr
    assert "--new submits it again" in repeated_run.stderr
    assert ended.stdout == repeated_run.stdout == ""


def test_results_in_a_folder_are_called_as_transcribe_calls_them(
    server: RunningServer, fixtures: Path, tmp_path: Path
) -> None:
    for form in ("diarized_json", "json"):
        assert jobs(server, "submit", fixtures / "letter.flac", "-f", form, "-d", tmp_path).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.diarized.json", "letter.json"]


def test_an_output_called_minus_is_stdout(server: RunningServer, fixtures: Path) -> None:
    ended = jobs(server, "submit", fixtures / "letter.flac", "-f", "text", "-q", "-o", "-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "w0 w1 w2 w3 w4 w5 w6\n", "")
    (job,) = jobs(server, "submit", fixtures / "letter.flac", "-f", "text", "-q").stdout.split()
    assert jobs(server, "result", job, "-o", "-").stdout == ended.stdout
    assert not Path("-").exists()


def test_results_that_are_watched_for_go_to_stdout(server: RunningServer, fixtures: Path) -> None:
    one = jobs(server, "submit", fixtures / "letter.flac", "-f", "txt", "--watch", "-q")
    assert (one.stdout, one.stderr) == ("w0 w1 w2 w3 w4 w5 w6\n", "")
    two = jobs(server, "submit", fixtures / "letter.flac", fixtures / "train.flac", "-f", "txt", "-w", "-q")
    assert "==> letter.txt <==\nw0 w1 w2 w3 w4 w5 w6\n\n" in two.stdout
    assert "==> train.txt <==\nw0 w1" in two.stdout


def test_options_reach_the_kind_s_route(server: RunningServer, fixtures: Path, tmp_path: Path) -> None:
    lyrics = tmp_path / "lyrics.txt"
    lyrics.write_text("w1 w2 w3\nw5 w6 w7\n", encoding="utf-8-sig")
    aligned = jobs(
        server, "submit", fixtures / "weather.flac", "-k", "alignment", "-t", lyrics, "-f", "lrc", "-w", "-q"
    )
    assert [line.text for line in pylrc.parse(aligned.stdout) if line.text] == ["w1 w2 w3", "w5 w6 w7"]
    words = ("--option", "timestamp_granularities=word", "--option", "timestamp_granularities=segment")
    verbose = jobs(server, "submit", fixtures / "letter.flac", "-f", "verbose_json", *words, "-w", "-q")
    assert {"words", "segments"} <= json.loads(verbose.stdout).keys()
    refused = jobs(server, "submit", fixtures / "letter.flac", "-k", "subtitles", "--option", "max_lines=9")
    assert refused.returncode == 1
    assert "max_lines" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_jobs_are_listed_as_a_table_and_as_json(server: RunningServer, fixtures: Path) -> None:
    job = jobs(server, "submit", fixtures / "doctor.flac", "--new", "-q").stdout.strip()
    assert jobs(server, "watch", job, "-q").returncode == 0
    table = jobs(server, "list").stdout.splitlines()
    assert table[0].split() == ["ID", "STATE", "KIND", "RECORDING", "LENGTH", "SUBMITTED"]
    assert table[1].split()[:4] == [job, "succeeded", "transcription", "doctor.flac"]
    listed = json.loads(jobs(server, "list", "-n", "1", "--json").stdout)
    assert [(each["id"], each["state"], each["recording"]) for each in listed] == [(job, "succeeded", "doctor.flac")]


def test_cancel_leaves_results_alone_unless_they_are_to_be_deleted(
    server: RunningServer, slow_server: RunningServer, fixtures: Path, talk: Path
) -> None:
    running = jobs(slow_server, "submit", talk, "--new", "-q").stdout.strip()
    cancelled = jobs(slow_server, "cancel", running)
    assert (cancelled.returncode, cancelled.stderr) == (0, f"{running}: cancelled\n")
    assert jobs(slow_server, "watch", running).returncode == 1
    job = jobs(server, "submit", fixtures / "letter.flac", "--new", "-q").stdout.strip()
    jobs(server, "watch", job, "-q")
    kept = jobs(server, "cancel", job)
    assert (kept.returncode, kept.stderr) == (
        0,
        f"{job}: has ended (succeeded); --delete deletes it, with its result\n",
    )
    assert jobs(server, "result", job).returncode == 0
    gone = jobs(server, "cancel", "--delete", job, "job_none")
    assert gone.returncode == 1
    assert f"{job}: deleted\n" in gone.stderr
    assert "steno: job_none: the server says 404: there is no job" in gone.stderr
    assert jobs(server, "result", job).returncode == 1


def test_a_result_that_is_not_there_leaves_no_file(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "letter.mp3").write_text("this is no audio")
    job = jobs(server, "submit", tmp_path / "letter.mp3", "--new", "-q").stdout.strip()
    jobs(server, "watch", job, "-q")
    out = tmp_path / "out.txt"
    out.write_text("earlier")
    ended = jobs(server, "result", job, "-o", out)
    assert ended.returncode == 1
    assert ended.stderr.startswith("steno: the server says 409: the job failed: ")
    assert out.read_text() == "earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["letter.mp3", "out.txt"]


def test_ctrl_c_stops_watching_and_the_job_goes_on(slow_server: RunningServer, talk: Path) -> None:
    def submitted() -> int:
        return slow_server.log().count("POST /v1/jobs 2")

    before = submitted()
    running = subprocess.Popen(
        [sys.executable, "-m", "steno", "jobs", "submit", talk, "--new", "--watch"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(slow_server), start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with Client(slow_server.url, "k") as client:
        until(lambda: any(job.state == "running" for job in client.jobs()))
        job = next(job.id for job in client.jobs() if job.state == "running")
        until(lambda: submitted() > before)
        time.sleep(0.5)
        os.killpg(running.pid, signal.SIGINT)
        out, errors = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, out) == (130, "")
        assert errors == f"steno: stopped watching; the job goes on. Again: steno jobs watch {job}\n"
        assert client.job(job).state == "running"
        client.cancel_job(job)


@pytest.mark.slow
def test_a_terminal_sees_a_bar_for_each_job(slow_server: RunningServer, talk: Path) -> None:
    for _ in range(2):
        assert jobs(slow_server, "submit", talk, "--new", "-q").returncode == 0
    leader, follower = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "steno", "jobs", "watch"],
        stdout=subprocess.DEVNULL, stderr=follower, env={**environment(slow_server), "TERM": "xterm", "COLUMNS": "150"},
    )  # fmt: skip
    os.close(follower)
    seen = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:  # Linux says EIO when the other side has closed
            break
        if not data:
            break
        seen += data
    os.close(leader)
    assert running.wait(PATIENCE_S) == 0
    shown = seen.decode()
    assert "talk.wav (job_" in shown
    assert "recognising, real-time factor 0." in shown
    assert " left" in shown
    assert shown.count("s of audio in") == 2


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with HttpThread(partial(Quiet, directory=str(folder))) as web:
        yield web.url


def test_a_url_takes_the_place_of_a_file(server: RunningServer, fixtures: Path, tmp_path: Path) -> None:
    refused = jobs(server, "submit", "https://media.example.org/talk.mp3")
    assert (refused.returncode, refused.stderr.count("ALLOW_URLS")) == (1, 1)
    urls = {"ALLOW_URLS": "true", "URL_SCHEMES": "http", "URL_ALLOWLIST": "127.0.0.1", **KEYS}
    with (
        web_server(fixtures) as web,
        RunningServer(ASR_BACKEND="scripted", JOBS_DB=str(tmp_path / "jobs.db"), **urls) as fetching,
    ):
        out = tmp_path / "out"
        ended = jobs(
            fetching, "submit", f"{web}/letter.flac?v=1", fixtures / "train.flac", "-k", "subtitles", "-d", out
        )
        assert ended.returncode == 0, ended.stderr
        assert sorted(path.name for path in out.iterdir()) == ["letter.srt", "train.srt"]
        assert f"{web}/letter.flac?v=1: 3.7 s of audio in" in ended.stderr
        doubled = jobs(fetching, "submit", f"{web}/letter.flac", fixtures / "letter.flac", "-d", out)
        assert (doubled.returncode, "several results would be called letter" in doubled.stderr) == (2, True)


def test_words_that_do_not_fit_together_are_usage_errors(fixtures: Path, tmp_path: Path) -> None:
    file = fixtures / "letter.flac"
    for words in (
        ("submit",),
        ("submit", file, "-k", "alignment"),
        ("submit", file, "--text", file),
        ("submit", file, "--translate-to", "fr"),
        ("submit", file, "--option", "track"),
        ("submit", file, file, "-o", tmp_path / "out"),
        ("submit", file, "-o", tmp_path / "a", "-d", tmp_path),
        ("submit", tmp_path),
        ("cancel",),
    ):
        assert run_command("jobs", *words, environment=os.environ).returncode == 2, words


def test_a_server_that_is_not_there_or_takes_no_jobs_is_one_line(fixtures: Path) -> None:
    nobody = run_command("jobs", "list", "--url", "http://127.0.0.1:9", environment=os.environ)
    assert (nobody.returncode, nobody.stderr.count("\n")) == (1, 1)
    assert "is the server up?" in nobody.stderr
    with RunningServer(ASR_BACKEND="scripted") as server:
        ended = run_command("jobs", "submit", fixtures / "letter.flac", "--url", server.url, environment=os.environ)
        assert ended.returncode == 1
        assert "its operator can set JOBS_DB" in ended.stderr
