"""The worker's side: accepts server processes, runs their jobs, reports, and ends when it is idle."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
from contextlib import suppress

from loguru import logger

from steno import __version__
from steno.engine.local import LocalClient
from steno.engine.protocol import EngineInfo, EngineStatus
from steno.engine.worker.front_connection import FrontConnection
from steno.engine.worker.measurements import Measurements
from steno.engine.worker.worker_tcp import TokenGate
from steno.engine.worker.worker_wire import Connection, Hello, Report

REPORT_S = 0.25
"""Max interval of reports, in seconds."""
MIN_REPORT_S = 0.02
"""Min interval of reports; within it, each change is reported at once."""

EXIT_BROKEN = 70
"""Exit code after the device failed for good (`EX_SOFTWARE`)."""


class WorkerServer:
    """Serves a `LocalClient` on a listening socket.

    Args:
        measurements: the client's telemetry.
        idle_timeout_s: seconds without work and leases after which `run` returns; 0 = never.
        gate: checks who connects; None = everyone may, because the socket is this user's own.
    """

    def __init__(
        self,
        client: LocalClient,
        measurements: Measurements,
        idle_timeout_s: float,
        gate: TokenGate | None = None,
    ) -> None:
        self._client = client
        self._measurements = measurements
        self._idle_timeout_s = idle_timeout_s
        self._gate = gate
        self._numbers = itertools.count()
        self._fronts: dict[FrontConnection, Connection] = {}
        self._is_unused = asyncio.Event()
        self._is_unused.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._reported = 0.0
        self._next_report: asyncio.TimerHandle | None = None

    @property
    def fronts(self) -> int:
        """How many server processes are connected."""
        return len(self._fronts)

    @property
    def info(self) -> EngineInfo:
        return self._client.info

    async def unused(self) -> None:
        """Return once no server process is connected."""
        await self._is_unused.wait()

    def status(self) -> EngineStatus:
        return self._client.status()

    def busy_s(self) -> float:
        """How long the step or call that runs longest has been running."""
        return self._client.busy_s()

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, or the worker was idle for `idle_timeout_s`; then unload the models."""
        await self._client.start()
        server = await asyncio.start_server(self.serve, sock=listener)
        try:
            await self._report_until_idle(stop)
        finally:
            self._is_ending = True
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._next_report is not None:
                self._next_report.cancel()
            await self._client.stop_working()
            await self._client.aclose()

    async def _report_until_idle(self, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        busy_at = loop.time()
        while not stop.is_set():
            if not all(front.is_idle for front in self._fronts):
                busy_at = loop.time()
            if self._idle_timeout_s > 0 and loop.time() - busy_at > self._idle_timeout_s:
                logger.info("the worker was idle for {:g} s", self._idle_timeout_s)
                return
            if loop.time() - self._reported >= REPORT_S - MIN_REPORT_S:
                self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_S / 2):
                    await stop.wait()

    def _changed(self, *, report_now: bool = False) -> None:
        loop = asyncio.get_running_loop()
        if report_now:
            self._report()
        elif self._next_report is None:
            self._next_report = loop.call_at(max(self._reported + MIN_REPORT_S, loop.time()), self._report)

    def _report(self) -> None:
        if self._next_report is not None:
            self._next_report.cancel()
            self._next_report = None
        self._reported = asyncio.get_running_loop().time()
        status, busy_s = self._client.status(), self._client.busy_s()
        counting = next((front for front in self._fronts if front.has_spoken), None)
        for front, connection in self._fronts.items():
            measurements = self._measurements.take() if front is counting else ()
            connection.send(Report(status, busy_s, measurements))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Work for one server process until its connection ends."""
        if self._is_ending:
            writer.transport.abort()  # accepted a moment too late; the next worker gets its work
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._gate is None or await self._gate.admits(reader, writer):
                await self._work_for(Connection(reader, writer))
        except asyncio.CancelledError:
            writer.transport.abort()  # the worker ends
        finally:
            self._tasks.discard(task)

    async def _work_for(self, connection: Connection) -> None:
        front = FrontConnection(connection, self._client, f"{next(self._numbers)}/", self._changed)
        connection.send(Hello(__version__))
        connection.send(Report(self._client.status(), 0.0, ()))
        self._fronts[front] = connection
        self._is_unused.clear()
        try:
            await front.run()
        except Exception as error:  # noqa: BLE001 - the boundary of a task: logged; the front connects again
            logger.opt(exception=error).error("working for a server process failed")
        finally:
            del self._fronts[front]
            if not self._fronts:
                self._is_unused.set()


def end_broken(reason: str) -> None:
    """End this process without settling its jobs, which the server sends to the next one."""
    logger.critical("{}; the worker ends, and is started again", reason)
    logger.remove()  # flushes the log
    os._exit(EXIT_BROKEN)
