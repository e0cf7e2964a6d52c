"""A crowd of uploading clients in one process: raw sockets on an event loop, a connection for each upload.

The functions run in a process of their own and return a `Tally`.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from benchmarks.overloading.exchange import Answer, address_of, answer_of, upload_of
from benchmarks.overloading.tally import Tally

NETWORK = 1
"""Addresses 127.1.x.y."""
FOREVER = 1000
FAILED = Answer(0, 1.0)


def open_loop(host: str, port: int, file: Path, rate: float, seconds: float) -> Tally:
    """An open loop: clients arrive at random, `rate` per second; a refused one retries once."""
    return asyncio.run(_open_loop(_Crowd(host, port, file, seconds), rate))


def closed_loop(host: str, port: int, file: Path, clients: int, seconds: float, over_s: float = 0.0) -> Tally:
    """A closed loop: each client uploads until it is served, and then again.

    Args:
        over_s: they come within so many seconds.
    """
    return asyncio.run(_closed_loop(_Crowd(host, port, file, seconds), clients, over_s))


class _Crowd:
    def __init__(self, host: str, port: int, file: Path, seconds: float) -> None:
        self._host, self._port = host, port
        self._request = upload_of(file, f"{host}:{port}")
        self.tally = Tally(time.perf_counter() + seconds)

    async def visit(self, n: int, *, tries: int) -> None:
        """Client `n` uploads; if refused, it retries after `Retry-After`, with `tries` attempts in total."""
        tally = self.tally
        for attempt in range(tries):
            answer = await self._ask(n)
            is_refused = answer.status == 429
            if attempt == 1:
                tally.first_retries.append(not is_refused)
            if not is_refused:
                return
            await asyncio.sleep(min(answer.retry_after_s, max(tally.ends - time.perf_counter(), 0.0)))
            if tally.is_over:
                return

    async def _ask(self, n: int) -> Answer:
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        try:
            _, upload = await loop.create_connection(
                lambda: _Upload(self._request, loop.create_future()),
                self._host, self._port, local_addr=(address_of(n, NETWORK), 0),
            )  # fmt: skip
            answer = await upload.answer
        except (OSError, ValueError):
            answer = FAILED
        self.tally.count(answer.status, time.perf_counter() - began)
        return answer


class _Upload(asyncio.Protocol):
    def __init__(self, request: bytes, answer: asyncio.Future[Answer]) -> None:
        self._request = request
        self._data = bytearray()
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            answer = answer_of(self._data)
        except ValueError as error:
            self._fail(error)
        else:
            if answer is not None and not self.answer.done():
                self.answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the connection ended without an answer"))

    def _fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def _closed_loop(crowd: _Crowd, clients: int, over_s: float) -> Tally:
    async def one(n: int) -> None:
        await asyncio.sleep(over_s * n / clients)
        while not crowd.tally.is_over:
            await crowd.visit(n, tries=FOREVER)

    await asyncio.gather(*(one(n) for n in range(clients)))
    return crowd.tally


async def _open_loop(crowd: _Crowd, rate: float) -> Tally:
    dice = random.Random(0)
    visits: list[asyncio.Task[None]] = []
    while not crowd.tally.is_over:
        visits.append(asyncio.create_task(crowd.visit(len(visits), tries=2)))
        await asyncio.sleep(dice.expovariate(rate))
    await asyncio.gather(*visits)
    return crowd.tally
