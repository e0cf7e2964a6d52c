"""One server process that a worker works for: its jobs, its leases, and the audio of its live utterances."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from steno.backends.aligners.base import Align, Alignment
from steno.engine.job_trace import remote_trace
from steno.engine.local import LocalClient
from steno.engine.protocol import Lease
from steno.engine.queue import Job
from steno.engine.worker.utterance_audio import UnknownAudioError, UtteranceStore
from steno.engine.worker.worker_wire import (
    Cancel,
    Connection,
    Done,
    Forget,
    Leases,
    Prepare,
    Recognition,
    Started,
    StartLoadingAligner,
    Submit,
    ToWorker,
    WorkerGoneError,
    failure_message,
    work_of,
)
from steno.errors import BackendUnavailableError, StenoError
from steno.types import Hypothesis


class Changed(Protocol):
    def __call__(self, *, report_now: bool = False) -> None: ...


class FrontConnection:
    """Carries out the messages of one connection. Its end cancels its jobs and gives its leases back.

    Args:
        prefix: makes the names of its utterances distinct from those of other connections.
        changed: called when the client's status has changed, to report it soon, or now.
    """

    def __init__(self, connection: Connection, client: LocalClient, prefix: str, changed: Changed) -> None:
        self._connection = connection
        self._client = client
        self._prefix = prefix
        self._changed = changed
        self._jobs: dict[int, Job] = {}
        self._loads: set[asyncio.Task[None]] = set()
        self._held: dict[Lease, list[ExitStack]] = {lease: [] for lease in Lease}
        self._utterances = UtteranceStore()
        self._keys: set[str] = set()
        """Utterances and streams that the backend may have cached."""
        self.has_spoken = False
        """Whether it has sent anything: a supervisor, which only listens, does not."""

    @property
    def is_idle(self) -> bool:
        return not (self._jobs or self._loads or any(self._held.values()))

    async def run(self) -> None:
        """Carry out messages until the connection ends."""
        try:
            while True:
                self._handle(await self._connection.receive_from_front())
        except (WorkerGoneError, UnknownAudioError):
            pass
        finally:
            await self._end()

    async def _end(self) -> None:
        self._connection.abort()
        for task in self._loads:
            task.cancel()
        for job in list(self._jobs.values()):
            job.future.cancel()
        await asyncio.gather(*self._loads, return_exceptions=True)
        for key in self._keys:
            self._client.forget(key)
        self._hold((0, 0, 0))

    def _handle(self, message: ToWorker) -> None:
        self.has_spoken = True
        match message:
            case Submit():
                self._submit(message)
            case Cancel():
                if (job := self._jobs.get(message.job)) is not None:
                    job.future.cancel()
            case Forget():
                self._utterances.drop(message.utterance)
                self._keys.discard(self._prefix + message.utterance)
                self._client.forget(self._prefix + message.utterance)
            case Prepare():
                self._start(self._prepare(message))
            case StartLoadingAligner():
                self._start_loading_aligner()
            case Leases():
                self._hold(message.counts)

    def _submit(self, message: Submit) -> None:
        loop = asyncio.get_running_loop()
        described = message.work
        key = described.utterance if isinstance(described, Recognition) else None
        is_last = described.final if isinstance(described, Recognition) else True
        samples = np.frombuffer(message.audio, np.float32)
        audio = self._utterances.audio(key, message.audio_from, samples, is_last=is_last)
        work = work_of(message, audio, self._prefix)
        if not isinstance(work, Align):
            self._keys |= {key for key in (work.utterance, work.stream) if key is not None}
        deadline = loop.time() + message.timeout_s
        job = Job(work, message.priority, loop.time(), deadline, loop.create_future(), request_id=message.request_id)
        job.trace = remote_trace(message.traceparent)
        job.on_start = lambda: self._started(message.job)
        self._jobs[message.job] = job
        job.future.add_done_callback(lambda _: self._settled(message.job, job))
        if self._client.is_loaded(aligner=isinstance(work, Align)):
            self._put(message.job, job)
        else:
            self._start(self._load_and_put(message.job, job))

    def _started(self, number: int) -> None:
        self._connection.send(Started(number))
        self._changed()

    def _put(self, number: int, job: Job) -> None:
        try:
            self._client.put(job)
        except StenoError as error:
            # The queue has cancelled the job; its error takes the place of the cancellation.
            if self._jobs.pop(number, None) is not None:
                self._connection.send(failure_message(number, error))

    async def _load_and_put(self, number: int, job: Job) -> None:
        try:
            await self._client.ready(aligner=isinstance(job.work, Align))
        except StenoError as error:
            job.settle(error)
            return
        if job.pending:
            self._put(number, job)

    def _settled(self, number: int, job: Job) -> None:
        self._client.settled(job)
        self._changed()
        if self._jobs.pop(number, None) is None or job.future.cancelled():
            return
        error = job.future.exception()
        if isinstance(error, StenoError):
            self._connection.send(failure_message(number, error))
            return
        result = job.future.result()
        self._connection.send(
            Done(
                number,
                hypothesis=result if isinstance(result, Hypothesis) else None,
                alignment=result if isinstance(result, Alignment) else None,
            )
        )

    async def _prepare(self, message: Prepare) -> None:
        try:
            if message.aligner and self._client.info.aligner is None:
                raise BackendUnavailableError("this worker has no aligner")
            await self._client.ready(aligner=message.aligner)
        except StenoError as error:
            self._connection.send(failure_message(message.call, error))
        else:
            self._changed(report_now=True)  # the front admits by what the loaded model can do
            self._connection.send(Done(message.call))

    def _start_loading_aligner(self) -> None:
        try:
            self._client.start_loading_aligner()
        except StenoError:
            return  # a load failed a moment ago, which the status tells
        finally:
            self._changed()

    def _hold(self, counts: tuple[int, int, int]) -> None:
        for lease, count in zip(Lease, counts, strict=True):
            if lease is Lease.ALIGNER and self._client.info.aligner is None:
                continue
            held = self._held[lease]
            while len(held) < count:
                stack = ExitStack()
                stack.enter_context(self._client.hold(lease))
                held.append(stack)
            while len(held) > count:
                held.pop().close()
        self._client.wake()
        self._changed()

    def _start(self, load: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(load, name="load for a front")
        self._loads.add(task)
        task.add_done_callback(self._loads.discard)
