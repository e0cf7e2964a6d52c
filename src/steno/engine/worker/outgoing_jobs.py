"""The jobs on their way to a worker: live ones first, and no more at once than the worker reads."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable
from typing import Never

from steno.engine.queue import Job
from steno.engine.worker.worker_wire import Connection, submit_message
from steno.errors import InvalidRequestError

MAX_TIMEOUT_S = 1e6


class OutgoingJobs:
    """Sends jobs over one connection after another, and knows what audio of live utterances the worker has."""

    def __init__(self) -> None:
        self._waiting: list[tuple[bool, int, Job]] = []
        """A heap: live jobs first, then in the order of their numbers."""
        self._has_waiting = asyncio.Event()
        self._sent: dict[str, int] = {}
        """Samples of each live utterance that the worker keeps."""

    def put(self, connection: Connection, number: int, job: Job) -> None:
        """Send `job`, or let it wait until the worker has read what was sent before."""
        if self._waiting or connection.is_clogged:
            self._wait(number, job)
        else:
            self._send(connection, number, job)

    def restart(self, unanswered: Iterable[tuple[int, Job]]) -> None:
        """A new worker has nothing yet: all jobs that an earlier one had not answered wait for `send_all`."""
        self._sent.clear()
        self._waiting.clear()
        self._has_waiting.clear()
        for number, job in unanswered:
            self._wait(number, job)

    async def send_all(self, connection: Connection) -> Never:
        """Send what waits, until cancelled.

        Raises:
            WorkerGoneError: the connection has ended.
        """
        while True:
            await self._has_waiting.wait()
            await connection.drained()
            self._send(connection, *heapq.heappop(self._waiting)[1:])
            if not self._waiting:
                self._has_waiting.clear()
            await asyncio.sleep(0)

    def forget(self, utterance: str) -> None:
        self._sent.pop(utterance, None)

    def _wait(self, number: int, job: Job) -> None:
        heapq.heappush(self._waiting, (not job.priority.is_live, number, job))
        self._has_waiting.set()

    def _send(self, connection: Connection, number: int, job: Job) -> None:
        if not job.pending:
            return
        work = job.work
        key = job.utterance
        known = min(self._sent.get(key, 0), len(work.audio)) if key is not None else 0
        timeout_s = max(job.deadline - asyncio.get_running_loop().time(), 0.0)
        try:
            limit_s, parent = min(timeout_s, MAX_TIMEOUT_S), job.trace.parent if job.trace is not None else None
            connection.send(submit_message(number, job.priority, limit_s, work, known, parent, job.request_id))
        except UnicodeEncodeError:
            job.settle(InvalidRequestError("the text has characters that are not valid Unicode"))
            return
        if key is not None and not job.is_partial:
            self._sent.pop(key, None)
        elif key is not None:
            self._sent[key] = len(work.audio)
