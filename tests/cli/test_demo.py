"""The demo in environments that are not prepared for it, and with servers that fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from steno.cli import demo
from steno.client import ServerError

SERVER = """
import http.server, os, signal, sys
from threading import Thread

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"text": "%s", "duration": 2.0}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def stop(*_):
    if %d >= 0:
        os._exit(%d)

signal.signal(signal.SIGTERM, stop)
server = http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler)
print("the pid is", os.getpid(), file=sys.stderr, flush=True)
print(f"a server is listening on http://127.0.0.1:{server.server_port}", flush=True)
Thread(target=server.serve_forever).start()
signal.pause()
while True:
    signal.pause()
"""
DEAF = -1


def server_that(says: str, exits_with: int) -> list[str]:
    return [sys.executable, "-c", SERVER % (says, exits_with, exits_with)]


@pytest.mark.slow
def test_the_demo_works_whatever_the_environment_says_of_servers_keys_limits_and_proxies() -> None:
    environment = {
        **os.environ, "ASR_BACKEND": "scripted", "API_KEYS": "secret", "SSL_CERTFILE": "/no/cert", "ssl_keyfile": "/no",
        "HOST": "192.0.2.1", "port": "1", "MAX_AUDIO_S": "0.1", "USE_GRANIAN": "maybe", "STENO_API_KEY": "other",
        "http_proxy": "http://127.0.0.1:9", "all_proxy": "socks5://127.0.0.1:9", "NO_PROXY": "",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "demo"], capture_output=True, text=True, timeout=120, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert "  w0 w1 w2 " in ended.stdout
    assert "server stopped with exit code 0" in ended.stdout


def test_the_demo_has_the_recogniser_of_the_environment_and_nothing_else_of_its_settings() -> None:
    given = {"MODEL_ID": "m", "asr_backend": "sphinx", "LOG_LEVEL": "DEBUG", "HF_HOME": "/hf", "PATH": "/bin"}
    dropped = {"API_KEYS": "k", "HOST": "::", "port": "80", "Drain_Timeout": "0", "OPENAI_API_KEY": "k"}
    assert demo.environment_of({**given, **dropped}) == {**given, "HOST": "127.0.0.1", "PORT": "0"}


def test_a_server_that_does_not_start_fails_the_demo_and_its_reason_is_shown() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "steno", "demo"],
        capture_output=True, text=True, timeout=90, env={**os.environ, "ASR_BACKEND": "vllm"},
    )  # fmt: skip
    assert ended.returncode == 1
    assert "backend 'vllm' cannot run here" in ended.stderr
    assert ended.stderr.endswith("steno: the server ended before it was up\n")


def test_a_server_that_stops_with_an_error_fails_the_demo(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServerError, match=r"^the server ended with exit code 3; expected 0$"):
        demo.demonstrate(server_that("some words", exits_with=3))
    shown = capfd.readouterr()
    assert "some words" in shown.out
    assert "the pid is" in shown.err


def test_a_demo_without_text_has_failed() -> None:
    with pytest.raises(ServerError, match="recognised no text in the sample"):
        demo.demonstrate(server_that(" ", exits_with=0))


def test_a_server_that_does_not_end_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    with pytest.raises(ServerError, match=r"^the server ended with exit code -9; expected 0$"):
        demo.demonstrate(server_that("some words", exits_with=DEAF), stop_s=0.5)
    assert time.monotonic() - began < 90
    told = re.search(r"the pid is (\d+)", capfd.readouterr().err)
    assert told is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(told[1]), 0)
