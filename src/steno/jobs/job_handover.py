"""Stored jobs with several fronts: one runs the jobs, and the others tell it what they have stored or cancelled.

They do so by datagrams over a Unix socket. A datagram that is lost costs time only: the database has all that matters,
and the front that runs the jobs looks there once in a while.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

ADDED = b""
"""A job was stored. Other datagrams are the id of a job that was cancelled."""
MAX_BYTES = 200
AT_ONCE = 64
"""Datagrams that are read in one go of the event loop."""


class JobRunner(Protocol):
    """Who runs stored jobs."""

    async def run(self) -> None:
        """Run jobs until it is cancelled."""

    def wake(self) -> None:
        """A job was added."""

    def stop(self, job: str) -> None:
        """A job was cancelled. No-op if it does not run."""


class RemoteJobRunner:
    """A `JobRunner` of a front that runs no jobs: hands them to the one that listens at `address`."""

    def __init__(self, address: Path) -> None:
        self._address = str(address)

    async def run(self) -> None:
        """The other front does that."""

    def wake(self) -> None:
        self._send(ADDED)

    def stop(self, job: str) -> None:
        self._send(job.encode())

    def _send(self, datagram: bytes) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
            outbox.setblocking(False)
            # This fails while the other front is started again. At its start it reads the database.
            outbox.sendto(datagram, self._address)


@contextmanager
def listening(address: Path, runner: JobRunner) -> Iterator[None]:
    """Pass on to `runner` what other fronts tell, while the context is open."""
    loop = asyncio.get_running_loop()
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.setblocking(False)
        inbox.bind(str(address))
        loop.add_reader(inbox, _read, inbox, runner)
        try:
            yield
        finally:
            loop.remove_reader(inbox)


def _read(inbox: socket.socket, runner: JobRunner) -> None:
    for _ in range(AT_ONCE):
        try:
            datagram = inbox.recv(MAX_BYTES)
        except BlockingIOError:
            return
        if datagram == ADDED:
            runner.wake()
        else:
            runner.stop(datagram.decode(errors="replace"))
