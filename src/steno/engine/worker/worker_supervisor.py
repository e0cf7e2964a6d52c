"""Starts the worker process when a connection waits for it, and replaces it when it dies or hangs.

The supervisor owns the listening socket and hands it to each worker, as a service manager does with socket activation:
connections that a dead worker had not accepted are accepted by the next one. It connects itself as well, to get the
worker's reports.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loguru import logger

from steno.engine.lifecycle import LifecycleState
from steno.engine.worker.worker_wire import Connection, Report, WorkerGoneError, connect
from steno.process_end import how_it_ended
from steno.short_tempdir import short_tempdir

START_S = 30.0
"""Time limit of a worker's start, before it loads any model: a second, or several on a cold disk."""
SILENCE_S = 3.0
"""A worker that reports nothing for so long hangs."""
LOADING_SILENCE_S = 120.0
"""As `SILENCE_S` while a model is being loaded: importing large libraries stops all threads of the worker."""
PAUSES_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Pauses before a start, by how many processes died in a row before they worked: workers before their model was loaded,
fronts before they answered."""
STOP_S = 15.0
"""Time that a worker has to unload its models when it is told to end."""
BACKLOG = 128


class WorkerSupervisor:
    """Use it as `async with supervisor: …`; leaving it ends the worker.

    Args:
        max_step_s: a worker whose step or call takes longer hangs.
        environment: environment variables of the worker, in addition to this process's.
        died: called when a worker has died.
    """

    def __init__(
        self,
        max_step_s: float,
        environment: Mapping[str, str] | None = None,
        died: Callable[[], None] = lambda: None,
    ) -> None:
        self._died = died
        self._max_step_s = max_step_s
        self._environment = {**os.environ, **(environment or {})}
        self._folder: Path | None = None
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._failures = 0
        self._is_stopping = False
        self._was_loaded = self._was_reached = False
        """Whether the running worker has loaded its model, and has accepted a connection."""
        self.starts = 0
        """How many workers were started."""

    async def __aenter__(self) -> WorkerSupervisor:
        self._listen()
        self._task = asyncio.create_task(self._run(), name="worker supervisor")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        await self.stop()
        self._task.cancel()
        await asyncio.wait([self._task])
        self._close()

    @property
    def address(self) -> Path:
        """The Unix socket that `connect` uses."""
        assert self._folder is not None
        return self._folder / "worker.sock"

    @property
    def pid(self) -> int | None:
        """The running worker's process id."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    def _listen(self) -> None:
        """Create the socket, for this user alone."""
        self._folder = Path(tempfile.mkdtemp(prefix="steno-", dir=short_tempdir()))
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.address))
        self._listener.listen(BACKLOG)
        self._listener.setblocking(False)

    def _close(self) -> None:
        """Remove the socket."""
        if self._listener is not None and self._folder is not None:
            self._listener.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    async def connect(self) -> Connection:
        """A connection to the worker, which is started if it does not run."""
        return await connect(self.address)

    async def _run(self) -> None:
        while True:
            await self._connection_waits()
            await asyncio.sleep(PAUSES_S[min(self._failures, len(PAUSES_S) - 1)])
            if self._is_stopping:
                return
            self._was_loaded = self._was_reached = False
            try:
                await self._run_worker()
            except Exception as error:  # noqa: BLE001 - the boundary of a task: logged, and tried again after a pause
                logger.opt(exception=error).error("the worker process could not be started")
                self._failures += 1

    async def _run_worker(self) -> None:
        """Start a worker, and return when it has ended."""
        process, parent_end = await self._start()
        with parent_end:
            watch = asyncio.create_task(self._watch(process), name="worker watch")
            try:
                code = await process.wait()
            finally:
                watch.cancel()
                await asyncio.wait([watch])
        self._ended(process.pid, code)

    def _ended(self, pid: int, code: int) -> None:
        if code == 0:
            self._failures = 0
            return
        self._failures = 0 if self._was_loaded else self._failures + 1
        if not self._was_reached:
            self._refuse_waiting()
        logger.error("worker process {} ended {}", pid, how_it_ended(code))
        self._died()

    def _refuse_waiting(self) -> None:
        """Close the connections that wait: those who made them learn that the worker died."""
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()

    async def _connection_waits(self) -> None:
        """Return once a connection waits to be accepted."""
        assert self._listener is not None
        loop = asyncio.get_running_loop()
        waits = asyncio.Event()
        loop.add_reader(self._listener, waits.set)
        try:
            await waits.wait()
        finally:
            loop.remove_reader(self._listener)

    async def _start(self) -> tuple[asyncio.subprocess.Process, socket.socket]:
        """Start a worker. It ends when the socket that is returned is closed, or with this process."""
        assert self._listener is not None
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "steno", "worker",
                "--listener", str(self._listener.fileno()), "--parent", str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL, env=self._environment, start_new_session=True,
                pass_fds=(self._listener.fileno(), theirs.fileno()),
            )  # fmt: skip
        self._process = process
        self.starts += 1
        logger.info("worker process {} started", process.pid)
        return process, ours

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Kill the worker if it hangs."""
        limit_s, connection = START_S, None
        try:
            connection = await self.connect()
            while True:
                async with asyncio.timeout(limit_s):
                    message = await connection.receive_from_worker()
                limit_s = SILENCE_S
                self._was_reached = True
                if not isinstance(message, Report):
                    continue
                recogniser, aligner = message.status.recogniser, message.status.aligner
                states = [recogniser.state, *([aligner.state] if aligner is not None else [])]
                self._was_loaded |= recogniser.state is LifecycleState.READY
                if LifecycleState.LOADING in states:
                    limit_s = LOADING_SILENCE_S
                elif message.busy_s > self._max_step_s:
                    self._kill(process, f"a step takes {message.busy_s:.0f} s, more than WORKER_TIMEOUT")
        except TimeoutError:
            self._kill(process, f"it reported nothing for {limit_s:g} s")
        except (OSError, WorkerGoneError):
            pass  # it ends
        finally:
            if connection is not None:
                connection.abort()

    def _kill(self, process: asyncio.subprocess.Process, reason: str) -> None:
        logger.error("worker process {} hangs: {}; it is killed", process.pid, reason)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    async def stop(self) -> None:
        """End the worker, which unloads its models first, and start no other."""
        self._is_stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            self._kill(process, "it did not end")
            await process.wait()


async def stop_all(workers: Sequence[WorkerSupervisor]) -> None:
    """Stop all workers at the same time."""
    await asyncio.gather(*(worker.stop() for worker in workers))


def supervisors_of(
    devices: Sequence[str], max_step_s: float, died: Callable[[], None] = lambda: None
) -> list[WorkerSupervisor]:
    """One for each device; without any, one that leaves the choice to the worker."""
    environments = [{"DEVICE": device, "DEVICES": ""} for device in devices] or [{}]
    return [WorkerSupervisor(max_step_s, environment, died) for environment in environments]
