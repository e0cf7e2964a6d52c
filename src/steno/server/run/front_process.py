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
from steno.engine.worker.worker_supervisor import PAUSES_S
from steno.process_end import how_it_ended
from steno.server.front_role import METRICS

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
        self._draining = asyncio.Event()
        self.answers = asyncio.Event()
        """Set once its first process has answered."""

    async def keep(self) -> None:
        """Keep a process running, until it ends after `drain`, or fails at first."""
        while not await self._is_drained_within(PAUSES_S[min(self._early_ends, len(PAUSES_S) - 1)]):
            code = await self._try_to_run()
            if self._draining.is_set():
                return
            if not self.answers.is_set():
                self._failed(code)
                return
            self._table.add_to_head(Head.RESTARTS, 1)

    def drain(self) -> None:
        """Let it finish its work and end. Called again, it cancels the work; then it ends at once."""
        self._draining.set()
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to its process, if there is one."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _is_drained_within(self, pause_s: float) -> bool:
        """Wait `pause_s`, or until `drain`. Returns whether it is that."""
        try:
            async with asyncio.timeout(pause_s):
                await self._draining.wait()
        except TimeoutError:
            return False
        return True

    async def _try_to_run(self) -> int:
        """Run a process to its end. Returns the exit code; 1 if it could not be run."""
        try:
            code = await self._run()
            self._clear()
        except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried again after a pause
            logger.opt(exception=error).error("the process of front {} could not be run", self._number)
            self._early_ends += 1
            self.send(signal.SIGKILL)
            return 1
        if not self._draining.is_set():
            logger.error("front {} ended {}", self._number, how_it_ended(code))
        return code

    async def _run(self) -> int:
        """Run a process to its end. Returns the exit code."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._process = process = await self._start(theirs)
            if self._draining.is_set():
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
                answer = await asyncio.get_running_loop().sock_recv(ours, 1)
        except TimeoutError:
            logger.error("front {} did not answer within {:g} s; it is killed", self._number, START_S)
            self.send(signal.SIGKILL)
            return False
        if not answer:
            return False  # it ends
        self.answers.set()
        self._table.add_to_head(Head.RUNNING, 1)
        return True

    def _clear(self) -> None:
        """Forget what the process counted, and its gauges."""
        self._table.clear(self._number)
        for gauges in (self._folder / METRICS).glob(f"gauge_live*_{self._number}.db"):
            gauges.unlink(missing_ok=True)
