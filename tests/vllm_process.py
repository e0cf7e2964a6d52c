"""A real vLLM server of the tiny checkpoint, on the CPU, in a process group of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from tiny.clips import ASR

START_S, STOP_S = 150.0, 30.0
EXACT = ("--enable-scale-out", "--scheduling-policy", "priority", "--enable-mm-embeds")
"""What steno needs for tokens in and tokens out."""
ON_CPU = ("--dtype", "float32", "--enforce-eager", "--block-size", "32", "--max-model-len", "4096")
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class VllmProcess:
    """`vllm serve`, started; `wait` until it responds."""

    def __init__(self, log: Path, *flags: str, key: str | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        keys = () if key is None else ("--api-key", key)
        where = ("--model", str(ASR), "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port))
        command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *where, *ON_CPU, *flags, *keys]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **ENVIRONMENT}, start_new_session=True
            )

    def wait(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            time.sleep(0.2)

    def pause(self) -> None:
        """Requests that arrive are not answered any more."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def kill(self) -> None:
        """With its engine."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_S)

    def metric(self, name: str) -> float:
        """The sum over the labels."""
        lines = httpx.get(f"{self.url}/metrics", timeout=10).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(name + "{"))


@contextmanager
def running(folder: Path, *each: Sequence[str], key: str | None = None) -> Iterator[list[VllmProcess]]:
    """Servers with these flags, which start at the same time."""
    with ExitStack() as stack:
        processes = [VllmProcess(folder / f"vllm-{n}.log", *flags, key=key) for n, flags in enumerate(each)]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            process.wait()
        yield processes
