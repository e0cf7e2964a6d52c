"""A real server in a process of its own, as users run it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import httpx
import psutil

from steno.backends import registry

EMBEDDED = "moonshine" if registry.availability("moonshine").ok else "sphinx"
"""The recogniser that works out of the box: Moonshine, where there is a wheel for this platform."""

TLS = ssl.create_default_context()
"""For all requests of `httpx`: it would read the system's certificates, 30 ms of CPU, for each."""

START_S = STOP_S = PATIENCE_S = 90.0
"""Long, for machines that are slow or stall: what is waited for ends the wait, and only a failure takes this long."""


class RunningServer:
    """`python -m steno serve` on a free port; the environment's variables are its settings.

    `log()` is what it has written to stderr, line by line.
    """

    command: Sequence[str] = ("-m", "steno", "serve")
    """What Python runs."""
    own_group = False
    """Whether it is started in a process group of its own, as a terminal does."""

    def __init__(self, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("STENO_")}
        self._environment = {**inherited, "HOST": "127.0.0.1", "PORT": "0", "LOG_LEVEL": "DEBUG", **environment}
        self._log: list[str] = []
        self._readers: list[threading.Thread] = []
        self.url = ""
        self.banner: list[str] = []

    def __enter__(self) -> RunningServer:
        self.process = subprocess.Popen(
            [sys.executable, *self.command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=self.own_group,
        )
        lines: queue.Queue[str | None] = queue.Queue()
        self._follow(self.process.stdout, lines.put)
        self._follow(self.process.stderr, lambda line: self._log.append(line or ""))
        while not (self.banner and "Ctrl-C" in self.banner[-1]):
            line = lines.get(timeout=START_S)
            if line is None:
                self.__exit__(None, None, None)
                raise AssertionError(f"the server did not start:\n{self.log()}")
            self.banner.append(line)
            if "is listening on" in line:
                self.url = line.split()[-1]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        for reader in self._readers:
            reader.join(STOP_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def log(self) -> str:
        return "".join(self._log)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=PATIENCE_S, **{"verify": TLS, **options})

    def health(self) -> dict[str, object]:
        answer: dict[str, object] = self.get("/health").raise_for_status().json()
        return answer

    def children(self, argument: str = "") -> list[psutil.Process]:
        """Its processes and theirs, or those whose command line has `argument`."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if not argument or argument in command_line(child)]

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def _follow(self, stream: IO[str] | None, take: Callable[[str | None], object]) -> None:
        """Give `take` each line, then None. A pipe that nobody reads would stop the server."""
        assert stream is not None

        def read() -> None:
            for line in stream:
                take(line)
            take(None)

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        self._readers.append(thread)


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """What they have worked; nothing for those that are gone."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def command_line(process: psutil.Process) -> list[str]:
    """Nothing for one that is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.cmdline()
    return []


def is_alive(process: psutil.Process) -> bool:
    """A zombie, whose parent has not asked for its exit code yet, is not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def post(
    server: RunningServer, file: Path, route: str = "transcriptions", timeout: float = PATIENCE_S, **fields: str
) -> httpx.Response:
    """Upload a recording under its own name."""
    url = f"{server.url}/v1/audio/{route}"
    return httpx.post(url, files={"file": (file.name, file.read_bytes())}, data=fields, timeout=timeout, verify=TLS)


def until(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def free_port() -> int:
    """A port that was free a moment ago, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
