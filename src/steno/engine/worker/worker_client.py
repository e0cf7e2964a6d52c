"""The server's side of a worker process: an `EngineClient` that outlives it.

The worker is started by the first message (its supervisor waits for connections), and ends when nothing is held and
nothing runs. When it dies, what it had not answered is sent to the next one: live utterances with all their audio and
their stable text. A job that was running in `MAX_DEATHS` workers when they died gets an error, because it may be the
cause.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import NoReturn

from loguru import logger

from steno import __version__
from steno.engine.lifecycle import RETRY_AFTER_FAILURE_S, LifecycleState
from steno.engine.protocol import EngineInfo, EngineStatus, LaneStatus, Lease
from steno.engine.queue import Job
from steno.engine.telemetry import NullTelemetry, Telemetry
from steno.engine.worker.crash_loop import CrashLoop
from steno.engine.worker.measurements import replay
from steno.engine.worker.outgoing_jobs import OutgoingJobs
from steno.engine.worker.worker_wire import (
    Cancel,
    Connection,
    Done,
    Failure,
    Forget,
    FromWorker,
    Hello,
    Leases,
    Prepare,
    Report,
    Started,
    StartLoadingAligner,
    WorkerGoneError,
    error_of,
)
from steno.errors import BackendCrashedError, DrainingError, ModelLoadError

MAX_DEATHS = 3
"""A job that was running in so many workers when they died is not tried again."""
RETRY_S = 5.0
"""When a refused client should try again."""
START_S = 60.0
"""Time limit of a worker's start, before it loads any model."""
SILENCE_S = 10.0
"""A worker that reports nothing for so long is gone. Its supervisor, which is quicker, normally ends it before."""
LOADING_SILENCE_S = 180.0
"""As `SILENCE_S` while a model is being loaded: importing large libraries stops all threads of the worker."""
RECONNECT_S, MAX_RECONNECT_S = 0.2, 3.0
"""Pause before the next connection; it doubles until one is accepted."""

Connect = Callable[[], Awaitable[Connection]]


@dataclass(eq=False, slots=True)
class _Submitted:
    """A job that the worker has not answered."""

    job: Job
    was_started: bool = False
    deaths: int = 0


@dataclass(eq=False, slots=True)
class _Load:
    """A call of `ready` that the worker has not answered."""

    aligner: bool
    done: asyncio.Future[None]


class WorkerClient:
    """An `EngineClient` whose jobs run in a worker process.

    Args:
        info: of the models that the worker serves.
        unloaded: the status while no worker runs.
        connect: connects to the worker; it may be started by that.
    """

    def __init__(self, info: EngineInfo, unloaded: EngineStatus, connect: Connect, telemetry: Telemetry | None) -> None:
        self.info = info
        self._unloaded = unloaded
        self._status = self._unloaded
        self._connect = connect
        self._telemetry = telemetry or NullTelemetry()
        self._connection: Connection | None = None
        self._numbers = itertools.count()
        self._jobs: dict[int, _Submitted] = {}
        self._numbers_of: dict[Job, int] = {}
        self._loads: dict[int, _Load] = {}
        self._leases: Counter[Lease] = Counter()
        self._outgoing = OutgoingJobs()
        self._wanted = asyncio.Event()
        self._crashes = CrashLoop()
        self._reconnect_s = RECONNECT_S
        self._was_loaded = False
        self._wants_aligner = False
        """Whether the aligner should be loaded as soon as there is a worker."""
        self._aligner_failed_at = -math.inf
        self._is_stopped = False
        self._task: asyncio.Task[None] | None = None

    def status(self) -> EngineStatus:
        crashes = self._crashes
        return replace(self._status, worker_restarts=crashes.restarts, broken=crashes.broken or self._status.broken)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="worker client")

    async def stop_working(self) -> None:
        self._is_stopped = True
        for submitted in list(self._jobs.values()):
            submitted.job.settle(DrainingError())

    async def aclose(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        self._crashes.close()
        self._status = self._unloaded

    def put(self, job: Job) -> None:
        if self._is_stopped:
            job.future.cancel()
            raise DrainingError
        number = next(self._numbers)
        self._jobs[number] = _Submitted(job)
        self._numbers_of[job] = number
        if self._connection is not None:
            self._outgoing.put(self._connection, number, job)
        self._wanted.set()

    def settled(self, job: Job) -> None:
        number = self._numbers_of.pop(job, None)
        if number is not None and self._jobs.pop(number, None) is not None and self._connection is not None:
            self._connection.send(Cancel(number))

    def forget(self, utterance: str) -> None:
        self._outgoing.forget(utterance)
        if self._connection is not None:
            self._connection.send(Forget(utterance))

    async def ready(self, *, aligner: bool) -> None:
        lane = self._status.aligner if aligner else self._status.recogniser
        if self._crashes.broken is not None:
            raise ModelLoadError(self._crashes.broken, retry_after_s=RETRY_S)
        if self._connection is not None and lane is not None and lane.state is LifecycleState.READY:
            return
        number = next(self._numbers)
        load = self._loads[number] = _Load(aligner, asyncio.get_running_loop().create_future())
        if self._connection is not None:
            self._connection.send(Prepare(number, aligner))
        self._wanted.set()
        try:
            await load.done
        finally:
            del load  # as in `Ticket`: its future keeps the error, whose traceback keeps this frame
            self._loads.pop(number, None)

    def start_loading_aligner(self) -> LaneStatus:
        lane = self._status.aligner or LaneStatus()
        now = asyncio.get_running_loop().time()
        if lane.failure is not None and now - self._aligner_failed_at < RETRY_AFTER_FAILURE_S:
            raise ModelLoadError(lane.failure, retry_after_s=RETRY_AFTER_FAILURE_S)
        if lane.state is LifecycleState.UNLOADED:
            lane = replace(lane, state=LifecycleState.LOADING)
            self._status = replace(self._status, aligner=lane)
        if self._connection is not None:
            self._connection.send(StartLoadingAligner())
        else:
            self._wants_aligner = True
            self._wanted.set()
        return lane

    @contextmanager
    def hold(self, lease: Lease) -> Iterator[None]:
        self._leases[lease] += 1
        self._send_leases()
        try:
            yield
        finally:
            self._leases[lease] -= 1
            self._send_leases()

    def wake(self) -> None: ...

    # The connection

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            connection: Connection | None = None
            try:
                async with asyncio.timeout(START_S):
                    connection = await self._connect()
                    hello = await connection.receive_from_worker()
                await self._converse(connection, hello)
            except TimeoutError:
                reason = f"it said nothing for {START_S:g} s"
            except (OSError, WorkerGoneError) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried with another worker
                logger.opt(exception=error).error("talking to the worker failed")
                reason = type(error).__name__
            finally:
                self._connection = None
                if connection is not None:
                    connection.abort()
            self._lost(reason)
            if self._wanted.is_set():
                await asyncio.sleep(self._reconnect_s)
                self._reconnect_s = min(2 * self._reconnect_s, MAX_RECONNECT_S)

    async def _converse(self, connection: Connection, hello: FromWorker) -> NoReturn:
        if not isinstance(hello, Hello) or hello.version != __version__:
            raise WorkerGoneError(f"the worker is another version: {hello}")
        self._connection = connection
        self._reconnect_s = RECONNECT_S
        self._send_leases()
        for number, load in self._loads.items():
            connection.send(Prepare(number, load.aligner))
        if self._was_loaded and self._leases[Lease.RECOGNISER]:
            connection.send(Prepare(next(self._numbers), aligner=False))  # open sessions will need it
        if self._wants_aligner:
            connection.send(StartLoadingAligner())
            self._wants_aligner = False
        self._outgoing.restart((number, submitted.job) for number, submitted in self._jobs.items())
        sending = asyncio.create_task(self._send_all(connection), name="jobs to the worker")
        try:
            await self._listen(connection)
        finally:
            sending.cancel()
            await asyncio.wait([sending])

    async def _send_all(self, connection: Connection) -> None:
        try:
            await self._outgoing.send_all(connection)
        except WorkerGoneError:
            pass  # `_listen` learns it too
        except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried with another worker
            logger.opt(exception=error).error("sending jobs to the worker failed")
            connection.abort()

    async def _listen(self, connection: Connection) -> NoReturn:
        while True:
            is_loading = self._status.recogniser.state is LifecycleState.LOADING
            silence_s = LOADING_SILENCE_S if is_loading or self._loads else SILENCE_S
            try:
                async with asyncio.timeout(silence_s):
                    message = await connection.receive_from_worker()
            except TimeoutError:
                raise WorkerGoneError(f"it said nothing for {silence_s:g} s") from None
            self._handle(message)

    def _handle(self, message: FromWorker) -> None:
        match message:
            case Started():
                if (submitted := self._jobs.get(message.job)) is not None:
                    submitted.was_started = True
                    submitted.job.started = asyncio.get_running_loop().time()
            case Done() | Failure():
                self._answered(message)
            case Report():
                self._was_loaded = message.status.recogniser.state is LifecycleState.READY
                self._note_failure(message.status)
                self._status = message.status
                for measurement in message.measurements:
                    replay(measurement, self._telemetry)
            case _:
                raise WorkerGoneError("an unexpected message")

    def _note_failure(self, status: EngineStatus) -> None:
        before, after = self._status.aligner, status.aligner
        if after is not None and after.failure is not None and (before is None or before.failure is None):
            self._aligner_failed_at = asyncio.get_running_loop().time()

    def _answered(self, message: Done | Failure) -> None:
        error = error_of(message) if isinstance(message, Failure) else None
        if (load := self._loads.get(message.call)) is not None:
            if not load.done.done():
                load.done.set_exception(error) if error is not None else load.done.set_result(None)
            return
        submitted = self._jobs.pop(message.call, None)
        if submitted is None:
            return  # cancelled meanwhile
        self._crashes.worked()
        if error is not None:
            submitted.job.settle(error)
        elif isinstance(message, Done):
            result = message.hypothesis if message.hypothesis is not None else message.alignment
            assert result is not None
            submitted.job.settle(result)

    def _lost(self, reason: str) -> None:
        """The worker is gone. If nothing was wanted of it, it has ended because it was idle."""
        is_wanted = bool(self._jobs or self._loads or self._leases.total())
        if not is_wanted or self._is_stopped:
            self._was_loaded = False
            self._status = self._unloaded
            self._wanted.clear()
            return
        level = "WARNING" if self._reconnect_s == RECONNECT_S else "DEBUG"  # once, not at each vain connection
        logger.log(level, "the worker process is gone ({}); a new one gets its work", reason)
        self._report_death(reason)
        for submitted in list(self._jobs.values()):
            submitted.deaths += submitted.was_started
            submitted.was_started = False
            if submitted.deaths >= MAX_DEATHS:
                text = f"the worker process died {submitted.deaths} times while it worked on this audio"
                submitted.job.settle(BackendCrashedError(text, retry_after_s=RETRY_S))

    def _report_death(self, reason: str) -> None:
        self._crashes.died(reason)
        if (broken := self._crashes.broken) is not None:
            for load in self._loads.values():
                with suppress(asyncio.InvalidStateError):
                    load.done.set_exception(ModelLoadError(broken, retry_after_s=RETRY_S))
        restarting = f"the worker process died ({reason}) and is started again"
        self._status = replace(self._unloaded, restarting=restarting, is_working=False)

    def _send_leases(self) -> None:
        if self._connection is not None:
            held = (self._leases[Lease.RECOGNISER], self._leases[Lease.ALIGNER], self._leases[Lease.LIVE])
            self._connection.send(Leases(held))
