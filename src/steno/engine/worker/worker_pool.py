"""An `EngineClient` over several workers, which may come and go.

`WorkerPlacement` chooses the worker of each job. What a dead worker had not answered goes to another one, by
`WorkerClient`'s rule.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from loguru import logger

from steno.engine.protocol import EngineInfo, EngineStatus, LaneStatus, Lease
from steno.engine.queue import Job
from steno.engine.telemetry import Telemetry
from steno.engine.worker.membership import LookUp, LookupFailedError, Membership
from steno.engine.worker.placement import WorkerPlacement
from steno.engine.worker.pool_member import PoolMember
from steno.engine.worker.pool_status import best_of, pool_status
from steno.engine.worker.worker_client import RETRY_S
from steno.errors import DrainingError, ModelLoadError, StenoError

MEMBERS_S = 1.0
"""Interval of the look-ups of the pool's workers."""
LOOKUP_S = 10.0
"""Time limit of a look-up."""
BROKEN_AFTER_S = 15.0
"""Seconds without a connected worker after which requests are refused."""


class WorkerPool:
    """See the module.

    Args:
        info: of the models that all workers serve.
        unloaded: the status of a worker that is not loaded.
        look_up: tells the workers; called every `MEMBERS_S`. It may raise LookupFailedError.
    """

    def __init__(self, info: EngineInfo, unloaded: EngineStatus, look_up: LookUp, telemetry: Telemetry | None) -> None:
        self.info = info
        self._unloaded = unloaded
        self._look_up = look_up
        self._telemetry = telemetry
        self._placement = WorkerPlacement()
        self._member_of: dict[Job, PoolMember] = {}
        self._unplaced: dict[Job, int] = {}
        """Jobs that wait for a worker, with the number of workers that died while they ran; admission bounds them."""
        self._leases: Counter[Lease] = Counter()
        self._changed = asyncio.Event()
        self._alone_since = math.inf
        """Since when no worker is connected; infinite while one is."""
        self._lost_workers = 0
        self._is_stopped = False
        self._following: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def status(self) -> EngineStatus:
        connected = [member.status() for member in self._placement.connected]
        broken = self._broken
        is_wanted = bool(self._unplaced or self._leases.total())
        if self._placement.members and not connected and not is_wanted and broken is None:
            return replace(self._unloaded, worker_restarts=self._lost_workers)  # idle workers are being replaced
        return pool_status(connected, self._unloaded, len(self._unplaced), self._lost_workers, broken)

    @property
    def _broken(self) -> str | None:
        if asyncio.get_running_loop().time() - self._alone_since > BROKEN_AFTER_S:
            return f"no worker has been reachable for {BROKEN_AFTER_S:g} s"
        problems = [member.status().broken for member in self._placement.connected]
        return next(iter(problems)) if problems and all(problems) else None

    async def start(self) -> None:
        self._alone_since = asyncio.get_running_loop().time()
        self._following = asyncio.create_task(self._follow(), name="worker pool")

    async def stop_working(self) -> None:
        self._is_stopped = True
        for member in self._placement.members.values():
            await member.stop_working()
        for job in list(self._unplaced):
            job.settle(DrainingError())

    async def aclose(self) -> None:
        assert self._following is not None
        self._following.cancel()
        await asyncio.wait([self._following])
        for member in list(self._placement.members.values()):
            self._remove(member)
        if self._closing:
            await asyncio.wait(self._closing)

    def put(self, job: Job) -> None:
        if self._is_stopped:
            job.future.cancel()
            raise DrainingError
        self._place(job, 0)

    def settled(self, job: Job) -> None:
        self._unplaced.pop(job, None)
        member = self._member_of.pop(job, None)
        if member is not None:
            member.settled(job)
            self._remove_if_drained(member)

    def forget(self, utterance: str) -> None:
        for member in self._placement.forget(utterance):
            self._remove_if_drained(member)
        self._placement.spread(self._leases)

    async def ready(self, *, aligner: bool) -> None:
        while not any(member.is_loaded(aligner=aligner) for member in self._placement.candidates):
            if (broken := self._broken) is not None:
                raise ModelLoadError(broken, retry_after_s=RETRY_S)
            self._changed.clear()
            loads = [self._load(member, aligner=aligner) for member in self._placement.candidates]
            change = asyncio.create_task(self._wait_for_change(), name="worker pool change")
            try:
                if await _first_loaded(loads, change):
                    return
            finally:
                change.cancel()

    async def _wait_for_change(self) -> None:
        """Return once a worker was connected or lost; after a while in any case, to look whether all are gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BROKEN_AFTER_S):
                await self._changed.wait()

    def start_loading_aligner(self) -> LaneStatus:
        lanes: list[LaneStatus] = []
        errors: list[StenoError] = []
        for member in self._placement.candidates:
            try:
                lanes.append(member.start_loading_aligner())
            except StenoError as error:
                errors.append(error)
        if errors and not lanes:
            raise errors[0]
        return best_of(lanes)

    @contextmanager
    def hold(self, lease: Lease) -> Iterator[None]:
        self._leases[lease] += 1
        self._placement.spread(self._leases)
        try:
            yield
        finally:
            self._leases[lease] -= 1
            self._placement.spread(self._leases)
            for member in list(self._placement.members.values()):
                self._remove_if_drained(member)

    def wake(self) -> None: ...

    def _place(self, job: Job, deaths: int) -> None:
        member = self._placement.place(job)
        if member is None:
            self._unplaced[job] = deaths
            return
        self._member_of[job] = member
        member.take_over(job, deaths)
        self._placement.spread(self._leases)

    def _load(self, member: PoolMember, *, aligner: bool) -> asyncio.Task[None]:
        task = member.loads.get(aligner)
        if task is None:
            task = asyncio.create_task(member.ready(aligner=aligner), name="load in a worker")
            member.loads[aligner] = task
            task.add_done_callback(lambda task: self._loaded(member, task, aligner=aligner))
        return task

    def _loaded(self, member: PoolMember, task: asyncio.Task[None], *, aligner: bool) -> None:
        member.loads.pop(aligner, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("a worker's model did not load: {}", error)

    # Membership

    async def _follow(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOKUP_S):
                    membership = await self._look_up()
                await self._update(membership)
            except (LookupFailedError, TimeoutError):
                pass  # the workers that are known stay
            except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried again
                logger.opt(exception=error).error("looking up the workers failed")
            await asyncio.sleep(MEMBERS_S)

    async def _update(self, membership: Membership) -> None:
        for name, connect in membership.workers.items():
            if name not in self._placement.members:
                member = PoolMember(self.info, self._unloaded, connect, self._telemetry, self._connection_changed)
                self._placement.members[name] = member
                await member.start()
        for name, member in list(self._placement.members.items()):
            if name in membership.workers:
                member.is_draining = False
            elif membership.is_complete:
                member.is_draining = True
                self._remove_if_drained(member)

    def _connection_changed(self, member: PoolMember) -> None:
        if not member.is_connected:
            self._lost(member)
        elif self._leases[Lease.RECOGNISER]:
            self._load(member, aligner=False)
        is_alone = not self._placement.connected
        if not is_alone:
            self._alone_since = math.inf
        elif self._alone_since == math.inf:
            self._alone_since = asyncio.get_running_loop().time()
        self._placement.spread(self._leases)
        self._changed.set()
        if not is_alone:
            unplaced, self._unplaced = self._unplaced, {}
            for job, deaths in unplaced.items():
                if job.pending:
                    self._place(job, deaths)

    def _lost(self, member: PoolMember) -> None:
        self._lost_workers += member.is_in_use
        self._placement.clear(member)
        for task in list(member.loads.values()):
            task.cancel()
        for job, deaths in member.hand_over():
            self._member_of.pop(job, None)
            self._place(job, deaths)
        self._remove_if_drained(member)

    def _remove_if_drained(self, member: PoolMember) -> None:
        if not member.is_draining or member.is_in_use:
            return
        if not member.is_connected or self._placement.is_replaceable(member) or not self._leases.total():
            self._remove(member)

    def _remove(self, member: PoolMember) -> None:
        name = next((name for name, other in self._placement.members.items() if other is member), None)
        if name is None:
            return
        del self._placement.members[name]
        self._placement.clear(member)
        task = asyncio.create_task(member.aclose(), name="worker pool removal")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        self._placement.spread(self._leases)


async def _first_loaded(loads: list[asyncio.Task[None]], change: asyncio.Task[None]) -> bool:
    """Return True once one of `loads` has succeeded, False after a change.

    Raises:
        ModelLoadError: all have failed.
    """
    pending: set[asyncio.Task[None]] = set(loads)
    while not change.done():
        await asyncio.wait({change, *pending}, return_when=asyncio.FIRST_COMPLETED)
        done = [load for load in loads if load.done() and not load.cancelled()]
        errors = [error for load in done if (error := load.exception()) is not None]
        if len(errors) < len(done):
            return True
        if errors and len(errors) == len(loads):
            raise errors[0].fresh() if isinstance(errors[0], StenoError) else errors[0]
        pending = {load for load in loads if not load.done()}
    return False
