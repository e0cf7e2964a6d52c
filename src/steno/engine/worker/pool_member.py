"""One worker of a pool: a `WorkerClient` that stays connected, and hands over what a lost worker had not answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Never

from steno.engine.lifecycle import LifecycleState
from steno.engine.protocol import EngineInfo, EngineStatus, Lease
from steno.engine.queue import Job
from steno.engine.telemetry import Telemetry
from steno.engine.worker.worker_client import Connect, WorkerClient
from steno.engine.worker.worker_wire import Connection, FromWorker


class PoolMember(WorkerClient):
    """See the module.

    Args:
        changed: called when the worker was connected, and when it was lost.
    """

    def __init__(
        self,
        info: EngineInfo,
        unloaded: EngineStatus,
        connect: Connect,
        telemetry: Telemetry | None,
        changed: Callable[[PoolMember], None],
    ) -> None:
        super().__init__(info, unloaded, connect, telemetry)
        self._changed = changed
        self.is_draining = False
        """Whether it gets no new utterances, because it is going to end."""
        self.utterances: set[str] = set()
        """Live utterances whose audio it has."""
        self.streams: set[str] = set()
        """Live streams whose next utterance goes to it."""
        self.loads: dict[bool, asyncio.Task[None]] = {}
        """Calls of `ready` for the recogniser (False) and the aligner (True)."""

    async def start(self) -> None:
        await super().start()
        self._wanted.set()

    async def aclose(self) -> None:
        for task in list(self.loads.values()):
            task.cancel()
        await super().aclose()

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    @property
    def jobs(self) -> int:
        """Jobs that it has not answered."""
        return len(self._jobs)

    @property
    def is_in_use(self) -> bool:
        return bool(self._jobs or self.utterances)

    def is_loaded(self, *, aligner: bool) -> bool:
        lane = self._status.aligner if aligner else self._status.recogniser
        return lane is not None and lane.state is LifecycleState.READY

    def set_leases(self, leases: Counter[Lease]) -> None:
        """Hold exactly these."""
        if leases != self._leases:
            self._leases = leases
            self._send_leases()

    def take_over(self, job: Job, deaths: int) -> None:
        """As `put`, for a job that ran in `deaths` workers when they died."""
        self.put(job)
        self._jobs[self._numbers_of[job]].deaths = deaths

    def hand_over(self) -> list[tuple[Job, int]]:
        """The jobs that were not answered, and in how many dying workers each ran. They are not this client's any
        more."""
        unanswered = [(submitted.job, submitted.deaths) for submitted in self._jobs.values() if submitted.job.pending]
        self._jobs.clear()
        self._numbers_of.clear()
        return unanswered

    async def _converse(self, connection: Connection, hello: FromWorker) -> Never:
        asyncio.get_running_loop().call_soon(self._notify)
        await super()._converse(connection, hello)

    def _notify(self) -> None:
        if self._connection is not None:
            self._changed(self)

    def _lost(self, reason: str) -> None:
        super()._lost(reason)
        self._wanted.set()
        self._changed(self)
