"""A front's process, as the supervisor sees it: started again when it dies, with a pause if it dies early."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loguru import logger

from steno.engine.front_table import FrontTable, Head
from steno.server.front_role import METRICS

PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before a start, by how many processes of the front died before they answered."""
START_S = 120.0
"""Time limit of a start."""


class FrontProcess:
    """Use `keep` as a task.

    Args:
        folder: what the fronts share.
        failed: called with the exit code if the first process ends before it answers.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        table: FrontTable,
        listener: socket.socket,
        workers: Sequence[Path],
        environment: Mapping[str, str],
        failed: Callable[[int], None],
    ) -> None:
        self._number = number
        self._folder = folder
        self._table = table
        self._listener = listener
        self._workers = workers
        self._environment = environment
        self._failed = failed
        self._process: asyncio.subprocess.Process | None = None
        self._early_ends = 0
        self._is_draining = False
        self.answers = asyncio.Event()
        """Set once its first process has answered."""

    async def keep(self) -> None:
        """Keep a process running, until it ends after `drain`, or fails at first."""
        while not self._is_draining:
            await asyncio.sleep(PAUSES_S[min(self._early_ends, len(PAUSES_S) - 1)])
            if self._is_draining:
                return
            try:
                code = await self._run()
                how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            except OSError as error:  # no process can be started now
                self._early_ends += 1
                code, how = 1, f"at its start: {error}"
            self._clear()
            if self._is_draining:
                return
            logger.error("front {} ended {}", self._number, how)
            if not self.answers.is_set():
                self._failed(code)
                return
            self._table.add_to_head(Head.RESTARTS, 1)

    def drain(self) -> None:
        """Let it finish its work and end. Called again, it cancels the work; then it ends at once."""
        self._is_draining = True
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        """Run a process to its end. Returns the exit code."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._process = process = await self._start(theirs)
            if self._is_draining:
                self.send(signal.SIGTERM)
            ours.setblocking(False)
            watch = asyncio.create_task(self._watch(ours), name=f"front {self._number} watch")
            try:
                return await process.wait()
            finally:
                watch.cancel()
                await asyncio.wait([watch])
                if not watch.cancelled() and watch.exception() is None and watch.result():
                    self._early_ends = 0
                    self._table.add_to_head(Head.RUNNING, -1)
                else:
                    self._early_ends += 1

    async def _start(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        workers = [argument for address in self._workers for argument in ("--worker", str(address))]
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "steno", "serve_front", "--number", str(self._number), "--folder", str(self._folder),
            "--listener", str(self._listener.fileno()), "--supervisor", str(theirs.fileno()), *workers,
            stdin=asyncio.subprocess.DEVNULL, env=self._environment, start_new_session=True,
            pass_fds=(self._listener.fileno(), theirs.fileno()),
        )  # fmt: skip

    async def _watch(self, ours: socket.socket) -> bool:
        """Wait until the process answers, and kill it if it does not. Returns whether it did."""
        try:
            async with asyncio.timeout(START_S):
                told = await asyncio.get_running_loop().sock_recv(ours, 1)
        except TimeoutError:
            logger.error("front {} did not answer within {:g} s; it is killed", self._number, START_S)
            self.send(signal.SIGKILL)
            return False
        if not told:
            return False  # it ends
        self.answers.set()
        self._table.add_to_head(Head.RUNNING, 1)
        return True

    def _clear(self) -> None:
        """Forget what the process counted, and its gauges."""
        self._table.clear(self._number)
        for gauges in (self._folder / METRICS).glob(f"gauge_live*_{self._number}.db"):
            gauges.unlink(missing_ok=True)
