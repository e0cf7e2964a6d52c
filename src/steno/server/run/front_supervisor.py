"""`FRONTS`: the process that owns the port, the worker processes and the fronts, and serves nothing itself.

SIGTERM or Ctrl-C: all fronts drain (`serve`); the workers end last. A second signal cancels the work, a third ends all.
The fronts and workers end with this process, however it ends. It imports no web framework and no model.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from steno.engine.front_table import FrontTable, Head
from steno.engine.worker.worker_supervisor import WorkerSupervisor, stop_all, supervisors_of
from steno.errors import SettingsError
from steno.server.front_role import METRICS, TABLE
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.front_process import FrontProcess
from steno.server.run.listener import listen, url_of
from steno.settings import Settings
from steno.short_tempdir import short_tempdir

END_S = 4.0 * CLOSE_S
"""Fronts that still run so long after `DRAIN_TIMEOUT` are killed."""


def supervise(settings: Settings, overrides: Mapping[str, str], on_start: Callable[[str], None]) -> int:
    """Serve with `FRONTS` processes until a signal. `on_start` gets the URL once all of them answer.

    Args:
        overrides: variables that the command line's options set.

    Returns:
        The exit code.

    Raises:
        SettingsError: the server cannot listen on the address, or this system cannot share it.
    """
    if sys.platform == "win32":
        raise SettingsError(f"FRONTS={settings.fronts}: not supported on Windows; unset it", param="FRONTS")
    temporary_folder = tempfile.TemporaryDirectory(prefix="steno-", dir=short_tempdir())
    with listen(settings) as listener, temporary_folder as folder:
        supervisor = FrontSupervisor(settings, overrides, listener, Path(folder))
        url = url_of(settings, listener)
        return asyncio.run(supervisor.run(lambda: on_start(url)))


class FrontSupervisor:
    """Runs the workers and fronts of a server: starts them, replaces those that die, and ends them in order.

    Args:
        settings: see `supervise`; so are the next two.
        folder: what the fronts share.
    """

    def __init__(self, settings: Settings, overrides: Mapping[str, str], listener: socket.socket, folder: Path) -> None:
        (folder / METRICS).mkdir()
        self._environment = {**os.environ, **overrides, "PROMETHEUS_MULTIPROC_DIR": str(folder / METRICS)}
        self._settings = settings
        self._listener = listener
        self._folder = folder
        self._table = FrontTable.create(folder / TABLE, settings.fronts)
        self._signals: asyncio.Queue[None] = asyncio.Queue(maxsize=16)
        self._keepers: list[asyncio.Task[None]] = []

    async def run(self, on_start: Callable[[], None]) -> int:
        """Serve until a signal. Returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._signalled)
        async with AsyncExitStack() as stack:
            settings = self._settings
            workers = supervisors_of(settings.devices, settings.worker_timeout, self._worker_died)
            for worker in workers:
                await stack.enter_async_context(worker)
            stack.push_async_callback(stop_all, workers)
            failed: asyncio.Future[int] = loop.create_future()
            fronts = self._fronts(workers, failed)
            starting = asyncio.create_task(self._start(fronts, on_start), name="start of fronts")
            signalled = asyncio.create_task(self._signals.get(), name="signal")
            try:
                waited: list[asyncio.Future[Any]] = [failed, signalled]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (starting, signalled):
                    task.cancel()
                await asyncio.wait([starting, signalled])
                await self._end(fronts)
            return failed.result() if failed.done() else 0

    def _fronts(self, workers: list[WorkerSupervisor], failed: asyncio.Future[int]) -> list[FrontProcess]:
        def fail(code: int) -> None:
            if not failed.done():
                failed.set_result(code if code > 0 else 1)

        addresses = [worker.address for worker in workers]
        return [
            FrontProcess(number, self._folder, self._table, self._listener, addresses, self._environment, fail)
            for number in range(self._settings.fronts)
        ]

    async def _start(self, fronts: list[FrontProcess], on_start: Callable[[], None]) -> None:
        """Start the first front, which says what is wrong if none can start; then the others."""
        for batch in (fronts[:1], fronts[1:]):
            self._keepers += [asyncio.create_task(front.keep(), name="front") for front in batch]
            for front in batch:
                await front.answers.wait()
        on_start()

    async def _end(self, fronts: list[FrontProcess]) -> None:
        """Drain all fronts, and wait for their end. Further signals are passed on; the third one kills them."""
        self._listener.close()  # a connection that no front takes is refused
        keepers = asyncio.gather(*self._keepers, return_exceptions=True)
        deadline = asyncio.get_running_loop().time() + self._settings.drain_timeout + END_S
        for front in fronts:
            front.drain()
        passed_on = 0
        while not keepers.done():
            signalled = asyncio.create_task(self._signals.get(), name="signal")
            left_s = max(deadline - asyncio.get_running_loop().time(), 0)
            waited: list[asyncio.Future[Any]] = [keepers, signalled]
            done, _ = await asyncio.wait(waited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            signalled.cancel()
            if signalled in done and passed_on == 0:
                passed_on += 1
                for front in fronts:
                    front.drain()
            elif keepers not in done:
                for front in fronts:
                    front.send(signal.SIGKILL)
                await asyncio.wait([keepers], timeout=CLOSE_S)
                return

    def _signalled(self) -> None:
        if not self._signals.full():
            self._signals.put_nowait(None)

    def _worker_died(self) -> None:
        self._table.add_to_head(Head.WORKER_DEATHS, 1)
