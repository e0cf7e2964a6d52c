"""Five times as many uploads as a server can take, with live streams beside.

    python -m benchmarks.overload [--seconds 60] [--times 5] [--live 4] [--backend moonshine] [--quick]
        [--json out/overload.json]

Each upload is the sample. Capacity is measured first, by as many clients as keep the server busy. Then come an open
loop (clients arrive at random, `--times` the capacity, whatever the server does) and a closed one (a fixed crowd, each
asking again when it is served). A client that is refused waits as `Retry-After` says, and comes back, in the open loop
once. Clients have addresses of their own (127.x.y.z), as those of a real server have. Live streams talk beside it, and
alone before.

- capacity_per_s: uploads served in a second, with the live streams beside.
- goodput_open, goodput_closed: uploads served under overload, by the capacity. Target: at least 0.9.
- refusal_p95_ms: from a request to its 429. Target: 50.
- first_retry_open, first_retry_closed: of the refused clients whose moment came in time, those who got in. Target: at
  least 0.8.
- live_final_alone_p95_ms, live_final_p95_ms, live_final_ratio: how late finals come. Target for the ratio: 1.5.
- failures: answers that were neither a transcript nor a 429. Target: 0.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from benchmarks import harness, speech
from benchmarks.live import LIMITS, Heard, load, ms
from benchmarks.server import Server

TARGETS = {"refusal_p95_ms": 50.0, "live_final_ratio": 1.5, "failures": 0.0}
AT_LEAST = {"goodput_open": 0.9, "goodput_closed": 0.9, "first_retry_open": 0.8, "first_retry_closed": 0.8}
"""Targets from below: printed, and written beside the others."""
ADDRESSES = 500
BUSY_CLIENTS = 8
"""Enough to keep the workers of a small machine busy, and few enough to be let in."""
QUEUE = 16


@dataclass
class Tally:
    """What a crowd of clients met with until `ends`."""

    ends: float
    served: int = 0
    refusals_s: list[float] = field(default_factory=list)
    first_retries: list[bool] = field(default_factory=list)
    failures: int = 0

    @property
    def is_over(self) -> bool:
        return time.perf_counter() >= self.ends

    @property
    def first_retry(self) -> float:
        return sum(self.first_retries) / len(self.first_retries) if self.first_retries else float("nan")


class Crowd:
    """Clients of one server, each with an address of its own."""

    def __init__(self, server: Server) -> None:
        self._url = f"{server.url}/v1/audio/transcriptions"
        self._recording = speech.SAMPLE.read_bytes()
        self._tls = ssl.create_default_context()
        """Never used, but made for each client by default, which takes tens of milliseconds."""
        self._clients: dict[int, httpx.AsyncClient] = {}

    async def visit(self, n: int, tally: Tally, *, tries: int = 2) -> None:
        """Client `n` asks; where it is refused, it comes back when it was told, and asks `tries` times in all."""
        for attempt in range(tries):
            wait_s = await self._ask(n, tally)
            if attempt == 1:
                tally.first_retries.append(wait_s is None)
            if wait_s is None:
                return
            await asyncio.sleep(min(wait_s, max(tally.ends - time.perf_counter(), 0.0)))
            if tally.is_over:
                return

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, n: int, tally: Tally) -> float | None:
        """How many seconds to wait where it is refused, else None."""
        client = self._client(n)
        began = time.perf_counter()
        answer = await client.post(self._url, files={"file": ("sample.flac", self._recording)})
        took_s = time.perf_counter() - began
        if answer.status_code == 429:
            tally.refusals_s.append(took_s)
            return float(answer.headers["Retry-After"])
        tally.failures += answer.status_code != 200
        tally.served += answer.status_code == 200 and not tally.is_over
        return None

    def _client(self, n: int) -> httpx.AsyncClient:
        n %= ADDRESSES
        if n not in self._clients:
            address = f"127.0.{1 + n // 250}.{1 + n % 250}"
            transport = httpx.AsyncHTTPTransport(local_address=address, verify=self._tls)
            self._clients[n] = httpx.AsyncClient(transport=transport, timeout=600.0)
        return self._clients[n]


def main() -> None:
    options = _options()
    report = harness.Report("overload", options)
    asyncio.run(_measure(options, report))
    report.finish(TARGETS)
    for name, least in AT_LEAST.items():
        print(f"{name}: target at least {least:g}")


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each overload lasts")
    parser.add_argument("--times", type=float, default=5.0, help="the overload, by the capacity")
    parser.add_argument("--live", type=int, default=4, help="live streams beside")
    parser.add_argument("--backend", default="moonshine", help="the server's ASR_BACKEND")
    parser.add_argument("--model", help="the server's MODEL_ID")
    return parser.parse_args()


async def _measure(options: argparse.Namespace, report: harness.Report) -> None:
    seconds = min(options.seconds, 5.0) if options.quick else options.seconds
    model = {"MODEL_ID": options.model} if options.model else {}
    with Server(ASR_BACKEND=options.backend, MAX_QUEUE=str(QUEUE), **LIMITS, **model) as server:
        crowd = Crowd(server)
        warm = await _beside(server, 1, 3.0, lambda tally: _busy(crowd, 1, tally))  # loads the model and the VAD
        alone = await _live(server, options.live, seconds)
        calm = await _beside(server, options.live, seconds / 2, lambda tally: _busy(crowd, BUSY_CLIENTS, tally))
        capacity_per_s = calm.tally.served / (seconds / 2)
        rate = options.times * capacity_per_s
        opened = await _beside(server, options.live, seconds, lambda tally: _open_loop(crowd, rate, tally))
        many = round(options.times * (BUSY_CLIENTS + QUEUE))
        closed = await _beside(server, options.live, seconds, lambda tally: _busy(crowd, many, tally))
        await crowd.aclose()
    report.add("capacity_per_s", capacity_per_s)
    report.add("goodput_open", opened.tally.served / seconds / capacity_per_s)
    report.add("goodput_closed", closed.tally.served / seconds / capacity_per_s)
    report.add("first_retry_open", opened.tally.first_retry)
    report.add("first_retry_closed", closed.tally.first_retry)
    report.add("refusal_p50_ms", ms(opened.tally.refusals_s + closed.tally.refusals_s, 50))
    report.add("refusal_p95_ms", ms(opened.tally.refusals_s + closed.tally.refusals_s, 95))
    beside_s = opened.heard.final_lags_s + closed.heard.final_lags_s
    report.add("live_final_alone_p95_ms", ms(alone.final_lags_s, 95))
    report.add("live_final_p95_ms", ms(beside_s, 95))
    report.add("live_final_ratio", ms(beside_s, 95) / ms(alone.final_lags_s, 95))
    report.add("refusals", len(opened.tally.refusals_s) + len(closed.tally.refusals_s))
    report.add("failures", sum(phase.tally.failures for phase in (warm, calm, opened, closed)))


@dataclass(frozen=True)
class Phase:
    tally: Tally
    heard: Heard


async def _beside(server: Server, live: int, seconds: float, attack: Callable[[Tally], Awaitable[None]]) -> Phase:
    """`attack` for so many seconds, and live streams for as long."""
    tally = Tally(time.perf_counter() + seconds)
    heard, _ = await asyncio.gather(_live(server, live, seconds), attack(tally))
    return Phase(tally, heard)


async def _live(server: Server, sessions: int, seconds: float) -> Heard:
    return await load(server, speech.SAMPLE, sessions, seconds) if sessions else Heard()


async def _busy(crowd: Crowd, clients: int, tally: Tally) -> None:
    """A fixed crowd: each asks until it is served, and then again."""

    async def one(n: int) -> None:
        while not tally.is_over:
            await crowd.visit(n, tally, tries=1000)

    await asyncio.gather(*(one(n) for n in range(clients)))


async def _open_loop(crowd: Crowd, rate: float, tally: Tally) -> None:
    """Clients that come at random, `rate` a second."""
    dice = random.Random(0)
    visits: list[asyncio.Task[None]] = []
    while not tally.is_over:
        visits.append(asyncio.create_task(crowd.visit(len(visits), tally)))
        await asyncio.sleep(dice.expovariate(rate))
    await asyncio.gather(*visits)


if __name__ == "__main__":
    main()
