"""The clients of an overloaded server, each kind in a process of its own, so that they do not delay each other."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from benchmarks import live, speech
from benchmarks.live import Heard
from benchmarks.overloading.crowd import closed_loop, open_loop
from benchmarks.overloading.probe import probe
from benchmarks.overloading.tally import Tally
from benchmarks.server import Server


@dataclass(frozen=True, slots=True)
class Phase:
    """The results of a phase of load."""

    crowd: Tally
    probe: Tally
    heard: Heard

    @property
    def served(self) -> int:
        return self.crowd.served + self.probe.served

    @property
    def first_retry(self) -> float:
        """Share of refused clients that were admitted at their first retry."""
        retries = [*self.crowd.first_retries, *self.probe.first_retries]
        return sum(retries) / len(retries) if retries else float("nan")

    @property
    def failures(self) -> int:
        return self.crowd.failures + self.probe.failures


class Load:
    """Three processes beside a server, which wait for what they are to do.

    Args:
        talkers: live sessions at once.
    """

    def __init__(self, server: Server, talkers: int) -> None:
        address = urlsplit(server.url)
        self._url = server.url
        assert address.port is not None
        self._upload_to = "127.0.0.1", address.port, speech.SAMPLE
        self._talkers = talkers
        spawn = multiprocessing.get_context("spawn")
        self._crowd, self._probe, self._live = (ProcessPoolExecutor(1, mp_context=spawn) for _ in range(3))

    def __enter__(self) -> Load:
        for process in (self._crowd, self._probe, self._live):
            process.submit(time.perf_counter).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in (self._crowd, self._probe, self._live):
            process.shutdown()

    def talk(self, seconds: float) -> Heard:
        """The talkers alone."""
        return self._talk(seconds).result()

    def closed(self, clients: int, seconds: float, *, over_s: float = 0.0) -> Phase:
        """So many clients, each asking until it is served, and then again. See `crowd.closed_loop`."""
        crowd = self._crowd.submit(closed_loop, *self._upload_to, clients, seconds, over_s)
        return self._beside(crowd, seconds)

    def open(self, rate: float, seconds: float) -> Phase:
        """Clients that come at random, `rate` a second."""
        return self._beside(self._crowd.submit(open_loop, *self._upload_to, rate, seconds), seconds)

    def _beside(self, crowd: Future[Tally], seconds: float) -> Phase:
        timed = self._probe.submit(probe, *self._upload_to, seconds)
        heard = self._talk(seconds)
        return Phase(crowd.result(), timed.result(), heard.result())

    def _talk(self, seconds: float) -> Future[Heard]:
        return self._live.submit(_talk, self._url, speech.SAMPLE, self._talkers, seconds)


def _talk(url: str, say: Path, sessions: int, seconds: float) -> Heard:
    return asyncio.run(live.load(url, say, sessions, seconds)) if sessions else Heard()
