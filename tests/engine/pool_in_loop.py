"""Workers, and a pool of them, on the test's event loop, so that their time can be virtual."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Mapping
from typing import Any

from steno.engine.admission import AdmissionLimits
from steno.engine.local import LocalClient, unloaded_status
from steno.engine.worker.measurements import Measurements
from steno.engine.worker.membership import LookupFailedError, Membership
from steno.engine.worker.worker_pool import WorkerPool
from steno.engine.worker.worker_server import WorkerServer
from steno.engine.worker.worker_wire import Connection


class ServedInLoop:
    """A worker. It never ends by itself."""

    def __init__(
        self, backend: Any, limits: AdmissionLimits | None = None, run_in_thread: Any = None, aligner: Any = None
    ) -> None:
        measurements = Measurements()
        self.backend = backend
        self.unloaded = unloaded_status(backend, aligner)
        self.local = LocalClient(backend, limits or AdmissionLimits(), measurements, run_in_thread, aligner)
        self.server = WorkerServer(self.local, measurements, idle_timeout_s=0)
        self.is_dead = False
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._connections: list[Connection] = []
        self._folder = tempfile.TemporaryDirectory(prefix="steno-")
        self._address = f"{self._folder.name}/worker.sock"

    def start(self) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self._address)
        self._serving = asyncio.create_task(self.server.run(listener, self._stop))

    async def stop(self) -> None:
        assert self._serving is not None
        self._stop.set()
        await self._serving
        self._folder.cleanup()

    def die(self) -> None:
        """End all connections, as a worker's death does, and let no later one come about."""
        self.is_dead = True
        for connection in self._connections:
            connection.abort()

    async def connect(self) -> Connection:
        if self.is_dead:
            raise ConnectionRefusedError("no worker")
        connection = Connection(*await asyncio.open_unix_connection(self._address))
        self._connections.append(connection)
        return connection


class PoolInLoop(WorkerPool):
    """A `WorkerPool` and its workers. A test may change `listed` and `is_complete`; None = the look-up fails."""

    def __init__(self, workers: Mapping[str, ServedInLoop], telemetry: Any = None) -> None:
        first = next(iter(workers.values()))
        super().__init__(first.local.info, first.unloaded, self._listed, telemetry)
        self.workers = workers
        self.listed: set[str] | None = set(workers)
        self.is_complete = True

    async def start(self) -> None:
        for worker in self.workers.values():
            worker.start()
        await super().start()
        async with asyncio.timeout(10):
            await self._changed.wait()  # a server that starts is not asked for anything before

    async def aclose(self) -> None:
        await super().aclose()
        for worker in self.workers.values():
            await worker.stop()

    async def _listed(self) -> Membership:
        if self.listed is None:
            raise LookupFailedError
        return Membership({name: self.workers[name].connect for name in self.listed}, self.is_complete)
