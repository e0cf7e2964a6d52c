"""The server as a process: start, stop, overload, and clients that misbehave. Recognition is scripted here."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest

from benchmarks.attacks import attacked
from running import PATIENCE_S, STOP_S, TLS, RunningServer, post, until

SLOW = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@100ms", "SPHINX_WORKERS": "4"}
"""A minute of audio takes some six seconds, however many requests share the steps."""
SLOWER = {**SLOW, "MODEL_ID": "scripted@300ms"}
"""Twenty seconds."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture(scope="module", params=["uvicorn", "granian"])
def slow_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    settings = {**SLOW, "MODEL_ID": "scripted@50ms", "MAX_QUEUE": "16"}
    with RunningServer(**settings, USE_GRANIAN=str(request.param == "granian")) as server:
        yield server


@pytest.fixture(scope="module", params=["uvicorn", "granian"])
def slower_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with RunningServer(**SLOWER, USE_GRANIAN=str(request.param == "granian")) as server:
        yield server


@pytest.fixture(params=["uvicorn", "granian"])
def ending_server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """Like `slower_server`, for one test that ends it."""
    with RunningServer(**SLOWER, USE_GRANIAN=str(request.param == "granian")) as server:
        yield server


@pytest.fixture(scope="module")
def limited_server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", MAX_UPLOAD_MB="1", MAX_AUDIO_S="10") as server:
        yield server


# Start


def test_the_banner_has_commands_that_work_when_pasted(server: RunningServer) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    commands = [
        line.strip() for line in server.banner if line.strip().startswith(("curl ", "steno transcribe ", ".venv/"))
    ]
    assert len(commands) == 3
    for command in commands:
        words = shlex.split(command)
        if words[0].endswith("steno"):
            words[:1] = [sys.executable, "-m", "steno"]
        ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S)
        assert ended.returncode == 0, ended.stderr
        assert "w0 w1 w2 w3" in ended.stdout


def test_health_says_what_serves(server: RunningServer) -> None:
    health = server.health()
    assert (health["status"], health["backend"], health["worker_alive"]) == ("ok", "scripted", True)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "steno", "serve", "--port", port], capture_output=True, text=True, timeout=PATIENCE_S
        )
    assert ended.returncode == 2
    assert f"cannot listen on HOST=127.0.0.1 PORT={port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_open_server_on_a_public_address_is_warned_about() -> None:
    with RunningServer(ASR_BACKEND="scripted", HOST="0.0.0.0") as server:
        until(lambda: "open to the network without API_KEYS" in server.log())
    with RunningServer(ASR_BACKEND="scripted", HOST="0.0.0.0", API_KEYS="k") as server:
        server.url = server.url.replace("localhost", "127.0.0.1")
        server.health()
        assert "open to the network" not in server.log()


@pytest.mark.parametrize("use_granian", ["false", "true"])
def test_it_serves_https(tmp_path: Path, use_granian: str) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        capture_output=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    with RunningServer(
        ASR_BACKEND="scripted", SSL_CERTFILE=str(certificate), SSL_KEYFILE=str(key), USE_GRANIAN=use_granian
    ) as server:
        assert server.url.startswith("https://")
        answer = server.get("/health", verify=ssl.create_default_context(cafile=str(certificate)))
        assert answer.json()["status"] == "ok"


def test_log_lines_are_json_with_the_request_id(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted", LOG_JSON="true") as server:
        server.get("/v1/models", headers={"X-Request-ID": "abc-123"})
        until(lambda: "abc-123" in server.log())
        lines = [json.loads(line) for line in server.log().splitlines()]
    (line,) = [line for line in lines if line["request_id"] == "abc-123"]
    assert line["message"].startswith("GET /v1/models 200 in ")
    assert (line["level"], line["logger"]) == ("INFO", "steno.server.middleware.request_context")


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_runs_refuses_what_comes_and_exits_with_0(
    ending_server: RunningServer, fixtures: Path, number: signal.Signals
) -> None:
    server = ending_server
    with ThreadPoolExecutor() as pool:
        running = pool.submit(post, server, fixtures / "weather.flac")
        until(lambda: server.health()["active_requests"] == 1)
        server.process.send_signal(number)
        until(lambda: server.health()["status"] == "draining")
        refused = post(server, fixtures / "letter.flac")
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        assert server.get("/ready").status_code == 503
        assert running.result().status_code == 200
    assert server.process.wait(STOP_S) == 0


def test_a_second_signal_does_not_wait(ending_server: RunningServer, fixtures: Path) -> None:
    server = ending_server
    with ThreadPoolExecutor() as pool:
        running = pool.submit(post, server, fixtures / "address.opus")
        until(lambda: server.health()["active_requests"] == 1)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.health()["status"] == "draining")
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(STOP_S)
        assert time.monotonic() - began < 12, "the recording alone would take longer"
        assert (running.result().status_code, running.result().json()["code"]) == (503, "draining")
        assert server.process.returncode == 0


@pytest.mark.parametrize("use_granian", ["false", "true"])
@pytest.mark.parametrize("half", ["a body", "a head"])
@pytest.mark.slow
def test_a_client_that_stalls_does_not_hold_up_the_end(use_granian: str, half: str) -> None:
    with RunningServer(**SLOW, USE_GRANIAN=use_granian, DRAIN_TIMEOUT="1") as server:
        address = urlsplit(server.url)
        head = b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Le"
        rest = b"ngth: 5000000\r\nContent-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(head + rest if half == "a body" else head)
            if half == "a body":
                until(lambda: "steno_receiving_uploads 1.0" in server.get("/metrics").text)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 18, "before `HEAD_S` closes it"
            if half == "a body":
                connection.settimeout(STOP_S)
                assert b" 503 " in connection.recv(100)
        assert "Traceback" not in server.log()


# Load and hostile clients


@pytest.mark.slow
def test_hours_of_silence_do_not_outlast_the_request_s_time_or_hold_up_others(tmp_path: Path, fixtures: Path) -> None:
    silence = tmp_path / "silence.flac"
    with av.open(str(silence), "w") as out:
        stream = out.add_stream("flac", rate=16_000, layout="mono")
        hour = np.zeros((1, 16_000 * 600), np.int16)
        for _ in range(6 * 4 - 1):
            frame = av.AudioFrame.from_ndarray(hour, format="s16", layout="mono")
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with RunningServer(ASR_BACKEND="scripted", REQUEST_TIMEOUT="8") as server, ThreadPoolExecutor() as pool:
        bombs = [pool.submit(post, server, silence) for _ in range(6)]
        until(lambda: server.health()["active_requests"] == 6)
        began = time.monotonic()
        assert post(server, fixtures / "letter.flac").status_code == 200
        assert time.monotonic() - began < 8
        assert {bomb.result().status_code for bomb in bombs} <= {200, 504}
        assert time.monotonic() - began < 25
        until(lambda: server.health()["active_requests"] == 0)


@pytest.mark.slow
def test_a_connection_that_sends_no_request_is_closed(server: RunningServer) -> None:
    from steno.server.run.guarded_connection import HEAD_S

    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHo")
        connection.settimeout(HEAD_S + PATIENCE_S)
        assert connection.recv(100) == b""


@pytest.mark.slow
def test_bodies_that_drip_keep_no_other_client_out(server: RunningServer, fixtures: Path) -> None:
    """Forty uploads are more than there are places. The others have an address of their own."""
    files = {"file": (fixtures / "letter.flac").read_bytes()}
    with (
        attacked(server.url, "slow_bodies", seconds=4),
        httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2"), timeout=PATIENCE_S) as other,
    ):
        until(lambda: "steno_receiving_uploads 32.0" in server.get("/metrics").text)
        assert other.post(f"{server.url}/v1/audio/transcriptions", files=files).status_code == 200
        refused = httpx.post(f"{server.url}/v1/audio/transcriptions", files=files, timeout=PATIENCE_S, verify=TLS)
        assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
    until(lambda: "steno_receiving_uploads 0.0" in server.get("/metrics").text)


@pytest.mark.slow
def test_fifty_uploads_at_once_are_served_or_honestly_refused(slow_server: RunningServer, fixtures: Path) -> None:
    server = slow_server
    expected = post(server, fixtures / "letter.flac").json()
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(server, fixtures / "letter.flac"), range(50)))
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(served) + len(refused) == 50
    assert len(served) >= 16
    assert refused
    assert all(answer.json() == expected for answer in served)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert all(answer.json()["error"]["code"] == "overloaded" for answer in refused)
    health = server.health()
    assert (health["status"], health["active_requests"], health["queued_jobs"]) == ("ok", 0, 0)
    assert post(server, fixtures / "letter.flac").json() == expected


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.slow
def test_a_client_that_hangs_up_takes_its_work_with_it(
    slower_server: RunningServer, fixtures: Path, stream: str
) -> None:
    server = slower_server
    with pytest.raises(httpx.ReadTimeout):
        post(server, fixtures / "address.opus", timeout=1.0, stream=stream)
    hung_up = time.monotonic()
    until(lambda: server.health()["active_requests"] == 0)
    until(lambda: "steno_running_jobs 0.0" in server.get("/metrics").text)
    assert time.monotonic() - hung_up < 12, "the recording would take longer"
    assert post(server, fixtures / "letter.flac").status_code == 200


def test_a_client_that_vanishes_in_the_middle_of_its_upload_leaves_nothing(slow_server: RunningServer) -> None:
    server = slow_server
    address = urlsplit(server.url)
    head = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head + b"x" * 100_000)
        until(lambda: "steno_receiving_uploads 1.0" in server.get("/metrics").text)
    until(lambda: "steno_receiving_uploads 0.0" in server.get("/metrics").text)
    assert server.health()["active_requests"] == 0


def test_an_upload_over_the_limit_is_refused_by_its_header_or_when_it_gets_there(limited_server: RunningServer) -> None:
    url = f"{limited_server.url}/v1/audio/transcriptions"
    by_header = httpx.post(url, files={"file": b"x" * 2_000_000}, timeout=PATIENCE_S, verify=TLS)
    assert (by_header.status_code, by_header.json()["code"]) == (413, "audio_too_large")

    def chunks() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(20):
            yield b"x" * 100_000

    unannounced = httpx.post(
        url,
        content=chunks(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
        timeout=PATIENCE_S,
        verify=TLS,
    )
    assert (unannounced.status_code, unannounced.json()["code"]) == (413, "audio_too_large")
    assert limited_server.health()["active_requests"] == 0


def test_a_recording_over_the_limit_is_refused(limited_server: RunningServer, fixtures: Path) -> None:
    answer = post(limited_server, fixtures / "address.opus")
    assert (answer.status_code, answer.json()["code"]) == (413, "audio_too_long")


def test_a_request_that_runs_out_of_time_gets_a_504_and_the_server_goes_on(fixtures: Path) -> None:
    with RunningServer(**SLOW, REQUEST_TIMEOUT="1.5") as server:
        answer = post(server, fixtures / "address.opus")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")
        assert post(server, fixtures / "letter.flac").status_code in (200, 504)
        assert server.health()["worker_alive"] is True


@pytest.mark.slow
def test_a_stream_that_fails_midway_ends_with_an_error_event(fixtures: Path) -> None:
    with RunningServer(**{**SLOW, "SPHINX_WORKERS": "1"}, REQUEST_TIMEOUT="8") as server:
        lines = [line for line in post(server, fixtures / "address.opus", stream="true").text.splitlines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert events[0]["type"] == "transcript.text.delta"
    assert events[-1]["error"]["code"] == "deadline_exceeded"


# Dialects and headers


def test_the_older_event_dialect(server: RunningServer, fixtures: Path) -> None:
    with (fixtures / "address.opus").open("rb") as audio:
        answer = httpx.post(
            f"{server.url}/v1/audio/transcriptions/stream", files={"file": audio}, timeout=PATIENCE_S, verify=TLS
        )
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line]
    assert events[-1] == {"done": True}
    assert [event["chunk_index"] for event in events[:-1]] == list(range(len(events) - 1))
    assert all(event["is_final"] and event["text"] and event["language"] == "en" for event in events[:-1])


def test_answers_carry_request_id_and_timings(server: RunningServer, fixtures: Path) -> None:
    given = server.get("/health", headers={"X-Request-ID": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    harmful = server.get("/health", headers={"X-Request-ID": "a b\tc"})
    assert harmful.headers["x-request-id"] != "a b\tc"
    answer = post(server, fixtures / "letter.flac")
    stages = [entry.partition(";")[0] for entry in answer.headers["server-timing"].split(", ")]
    assert stages == ["decode", "vad", "load", "wait", "recognize", "write", "total"]


def test_unknown_routes_and_methods_have_the_same_error_shape(server: RunningServer) -> None:
    for answer, status in (
        (server.get("/v2/nothing"), 404),
        (httpx.delete(f"{server.url}/health", timeout=PATIENCE_S, verify=TLS), 405),
        (
            httpx.post(
                f"{server.url}/v1/audio/transcriptions", data={"model": "whisper-1"}, timeout=PATIENCE_S, verify=TLS
            ),
            400,
        ),
        (
            httpx.post(
                f"{server.url}/v1/audio/transcriptions",
                files=[("file", b"a"), ("file", b"b")],
                timeout=PATIENCE_S,
                verify=TLS,
            ),
            400,
        ),
    ):
        body = answer.json()
        assert answer.status_code == body["statusCode"] == status
        assert body["error"]["message"] == body["message"]
        assert body["context"]["requestId"] == answer.headers["x-request-id"]


def test_a_server_without_keys_serves_no_pages_of_other_sites(server: RunningServer, fixtures: Path) -> None:
    url = f"{server.url}/v1/audio/transcriptions"
    for headers, code in (
        ({"Origin": "https://evil.example"}, "forbidden_origin"),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, "forbidden_host"),
    ):
        with (fixtures / "letter.flac").open("rb") as audio:
            answer = httpx.post(url, files={"file": audio}, headers=headers, timeout=PATIENCE_S, verify=TLS)
        assert (answer.status_code, answer.json()["code"]) == (403, code)
        assert "access-control-allow-origin" not in answer.headers
    assert server.get("/v1/models", headers={"Origin": server.url}).status_code == 200
    assert server.get("/health", headers={"Host": "probe.example"}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/docs", "/", "/openapi.json", "/page/about.json", "/nothing"])
def test_no_answer_is_sniffed_at(server: RunningServer, path: str) -> None:
    assert server.get(path).headers.get_list("x-content-type-options") == ["nosniff"]


def test_a_file_name_with_control_characters_gives_a_file_name_without(server: RunningServer, fixtures: Path) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\x01\x7f\tb\xc3\xa9.flac"\r\n\r\n'
        + (fixtures / "letter.flac").read_bytes()
        + b"\r\n--b--\r\n"
    )
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = httpx.post(
        f"{server.url}/v1/audio/subtitles", content=body, headers=headers, timeout=PATIENCE_S, verify=TLS
    )
    assert answer.status_code == 200
    expected = "attachment; filename=\"a___b_.srt\"; filename*=UTF-8''a%01%7F%09b%C3%A9.srt"
    assert answer.headers["content-disposition"] == expected


def test_metrics_tell_of_requests_queue_and_recognition(server: RunningServer, fixtures: Path) -> None:
    post(server, fixtures / "letter.flac")
    text = server.get("/metrics").text
    for name in (
        'steno_http_requests_total{route="/v1/audio/transcriptions",status="200"}',
        'steno_queue_depth{class="interactive"} 0.0',
        'steno_queue_wait_seconds_count{class="interactive"}',
        "steno_batch_size_count",
        "steno_step_seconds_sum",
        'steno_stage_seconds_total{stage="translate"} 0.0',
        "steno_real_time_factor_count",
        "steno_event_loop_lag_seconds",
        "steno_model_loaded 1.0",
        "process_resident_memory_bytes",
    ):
        assert name in text, name


def test_the_docs_need_no_network(server: RunningServer) -> None:
    page = server.get("/docs").text
    assert "swagger-ui" in page
    assert "cdn" not in page
    assert "text/html" in server.get("/").headers["content-type"]


def test_what_has_no_effect_is_said(server: RunningServer, fixtures: Path) -> None:
    fields = {"chunking_strategy": "auto", "timestamp_granularities[]": "word", "made up": "x"}
    answer = post(server, fixtures / "letter.flac", **fields)
    assert answer.headers["x-steno-ignored"] == "timestamp_granularities[], made_up"
    speakers = post(server, fixtures / "letter.flac", route="translations", diarize="true")
    assert (speakers.status_code, speakers.json()["code"]) == (400, "unsupported_feature")


def test_probes_may_use_head(server: RunningServer) -> None:
    assert httpx.head(f"{server.url}/health", timeout=PATIENCE_S, verify=TLS).status_code == 200
    assert httpx.head(f"{server.url}/ready", timeout=PATIENCE_S, verify=TLS).status_code == 200


def test_a_backend_that_cannot_run_is_a_sentence_and_not_a_traceback() -> None:
    environment = {**os.environ, "ASR_BACKEND": "sphinx", "POCKETSPHINX_PATH": "/nonexistent", "PORT": "0"}
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "serve"], capture_output=True, text=True, timeout=PATIENCE_S, env=environment
    )
    assert ended.returncode == 1
    assert "backend 'sphinx' cannot run here: lacks its acoustic model" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--host", "a..b"], "cannot listen on HOST=a..b"),
        (["--ssl-certfile", __file__, "--ssl-keyfile", __file__], "invalid SSL_CERTFILE or SSL_KEYFILE"),
    ],
)
def test_bad_options_of_serve_are_named(options: list[str], complaint: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "serve", *options], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr
