from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from loguru import logger

from running import PATIENCE_S
from steno.log_writer import LogWriter


class Held(io.StringIO):
    """A stream that takes nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        assert self.released.wait(PATIENCE_S)
        return super().write(text)


@pytest.fixture
def held() -> Iterator[Held]:
    stream = Held()
    yield stream
    stream.released.set()


def test_lines_come_out_in_order() -> None:
    stream = io.StringIO()
    writer = LogWriter(stream)
    for n in range(1000):
        writer.write(f"{n}\n")
    writer.stop()
    assert stream.getvalue().split() == [str(n) for n in range(1000)]


def test_what_does_not_fit_is_dropped_counted_and_told(held: Held) -> None:
    writer = LogWriter(held, max_chars=1000)
    logger.add(writer, format="{message}")
    for n in range(100):
        logger.info("{:099}", n)
    held.released.set()
    assert writer.drain(PATIENCE_S)
    logger.remove()
    lines = held.getvalue().splitlines()
    assert lines[:10] == [f"{n:099}" for n in range(10)]
    assert lines[10:] == ["90 log lines were dropped: the reader of the log is too slow"]


def test_a_stream_that_fails_ends_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    writer = LogWriter(Broken())
    writer.write("a\n")
    assert writer.drain(PATIENCE_S)
    writer.write("b\n")
    assert writer.drain(PATIENCE_S)
    writer.stop()


@pytest.mark.slow
def test_a_server_whose_log_is_not_read_goes_on_and_ends() -> None:
    """A pipe holds 64 KiB; each request is a line."""
    environment = {**os.environ, "ASR_BACKEND": "scripted", "PORT": "0", "LOG_LEVEL": "DEBUG"}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-m", "steno", "serve"], text=True, env=environment, **pipes) as process:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if "is listening on" in line)
        with httpx.Client(timeout=PATIENCE_S) as client:
            for _ in range(1200):
                assert client.get(f"{url}/health").status_code == 200
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
