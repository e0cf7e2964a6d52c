"""The kinds of engine that the same tests run on: jobs in this process, through a worker's connection, or in a pool.

All run on the test's event loop, so that their time can be virtual.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from engine.pool_in_loop import PoolInLoop, ServedInLoop
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.local import LocalClient, local_engine, unloaded_status
from steno.engine.protocol import EngineStatus
from steno.engine.worker.measurements import Measurements
from steno.engine.worker.worker_client import WorkerClient
from steno.engine.worker.worker_server import WorkerServer
from steno.engine.worker.worker_wire import Connection, Submit
from steno.types import SAMPLE_RATE


class _CountingConnection(Connection):
    """Notes the seconds of audio that each job brings."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent_s: list[float]) -> None:
        super().__init__(reader, writer)
        self._sent_s = sent_s

    def send(self, message: Any) -> None:
        if isinstance(message, Submit):
            self._sent_s.append(len(message.audio) / 4 / SAMPLE_RATE)
        super().send(message)


class WorkerInLoop(WorkerClient):
    """A `WorkerClient` and the worker that it talks to. The worker never ends by itself."""

    def __init__(self, local: LocalClient, unloaded: EngineStatus, measurements: Measurements, telemetry: Any) -> None:
        super().__init__(local.info, unloaded, self._connect_in_loop, telemetry)
        self.local = local
        self.sent_s: list[float] = []
        """Seconds of audio that each job brought."""
        self.dies_at_once = False
        """Whether each connection ends as soon as it is there."""
        self._refuses = False
        self._server = WorkerServer(local, measurements, idle_timeout_s=0)
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._connections: list[Connection] = []
        self._folder = tempfile.TemporaryDirectory(prefix="steno-")
        self._address = f"{self._folder.name}/worker.sock"

    async def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self._address)
        self._serving = asyncio.create_task(self._server.run(listener, self._stop))
        await super().start()

    async def aclose(self) -> None:
        await super().aclose()
        assert self._serving is not None
        self._stop.set()
        await self._serving
        self._folder.cleanup()

    def die(self) -> None:
        """End the connection, as a worker's death does."""
        self._connections[-1].abort()

    def refuse(self) -> None:
        """Let no later connection come about."""
        self._refuses = True

    async def _connect_in_loop(self) -> Connection:
        if self._refuses:
            raise ConnectionRefusedError("no worker")
        connection = _CountingConnection(*await asyncio.open_unix_connection(self._address), self.sent_s)
        self._connections.append(connection)
        if self.dies_at_once:
            connection.abort()
        return connection


def worker_in_loop(
    backend: Any,
    limits: AdmissionLimits | None = None,
    telemetry: Any = None,
    run_in_thread: Any = None,
    aligner: Any = None,
) -> WorkerInLoop:
    measurements = Measurements()
    local = LocalClient(backend, limits or AdmissionLimits(), measurements, run_in_thread, aligner)
    return WorkerInLoop(local, unloaded_status(backend, aligner), measurements, telemetry)


KINDS = [
    pytest.param("local"),
    pytest.param("worker", marks=pytest.mark.slow),
    pytest.param("pool", marks=pytest.mark.slow),
]

chosen = ["local"]
"""The kind of engine that `new_engine` creates."""


@pytest.fixture(params=KINDS)
def engine_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test on each kind of engine. Modules name it in `pytestmark`."""
    chosen[0] = request.param
    yield request.param
    chosen[0] = "local"


def new_engine(
    backend: Any,
    limits: AdmissionLimits,
    telemetry: Any = None,
    run_in_thread: Any = None,
    aligner: Any = None,
) -> Engine:
    """As `local_engine`; of another kind with a worker's connection between the engine and its lanes."""
    if chosen[0] == "local":
        return local_engine(backend, limits, telemetry, run_in_thread, aligner)
    if chosen[0] == "pool":
        workers = {"worker": ServedInLoop(backend, limits, run_in_thread, aligner)}
        return Engine(PoolInLoop(workers, telemetry), limits, telemetry)
    return Engine(worker_in_loop(backend, limits, telemetry, run_in_thread, aligner), limits, telemetry)
