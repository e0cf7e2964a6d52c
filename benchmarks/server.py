"""A steno server as a child process, for benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from types import TracebackType

import httpx
import psutil


class Server:
    """Started by `with Server(...)`; `start_s` is from the spawn to the first response of `/health`.

    Args:
        module: what is run with `serve`; another one than steno wraps it.
        environment: settings.
    """

    def __init__(self, module: str = "steno", **environment: str) -> None:
        self._module = module
        self._environment = {**os.environ, "PORT": "0", "LOG_LEVEL": "WARNING", **environment}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self.url = ""
        self.start_s = 0.0

    def __enter__(self) -> Server:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module, "serve"],
            stdout=subprocess.PIPE, stderr=self._log, text=True, env=self._environment,
        )  # fmt: skip
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "is listening on" in line:
                self.url = line.split()[-1]
                break
        else:
            self._log.seek(0)
            raise RuntimeError(f"the server did not start:\n{self._log.read()}")
        httpx.get(f"{self.url}/health").raise_for_status()
        self.start_s = time.perf_counter() - began
        self.process = psutil.Process(self._process.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def cpu_s(self) -> float:
        """CPU seconds of the server and its children so far."""
        total = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def log(self) -> str:
        """The server's log so far."""
        # Without moving the file's position, which the server writes at.
        return os.pread(self._log.fileno(), os.fstat(self._log.fileno()).st_size, 0).decode(errors="replace")

    def rss_mb(self) -> float:
        """Resident memory of the server process alone, in MB (10^6 bytes)."""
        return float(self.process.memory_info().rss) / 1e6
