"""Live streams through the server: how many fit. The load has processes of its own: one carries about 150 streams."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks import live
from benchmarks.gpu_parts.budget import Budget
from benchmarks.live import FRAME_S, Heard, ms

STREAMS_PER_PROCESS = 150
OPENING_S = 4.0
"""Time of a trial beside its audio, about: connections, and the last finals."""


@dataclass(frozen=True)
class Trial:
    """So many streams at once, and how late their text was."""

    streams: int
    partial_p95_ms: float
    final_p95_ms: float
    late: float
    """Share of frames that the load sent late: where it is not near 0, the load is the bound."""


def search(
    url: str, say: Path, budget: Budget, *, start: int, most: int, seconds: float, bound_ms: float
) -> Iterator[Trial]:
    """Trials by doubling from `start`, then by bisection, for as long as the budget allows."""
    low, high, is_over = 0, start, False
    while high - low > max(1, low // 10) if is_over else high <= most:
        asked = (low + high) // 2 if is_over else high
        if not budget.allows(f"a live trial of {asked} streams", seconds + OPENING_S):
            return
        tried = trial(url, say, asked, seconds)
        yield tried
        if tried.partial_p95_ms > bound_ms:
            high, is_over = asked, True
        else:
            low, high = asked, high if is_over else 2 * asked


def best_of(trials: list[Trial], bound_ms: float) -> Trial | None:
    """The most streams that kept the bound."""
    kept = [each for each in trials if each.partial_p95_ms <= bound_ms]
    return max(kept, key=lambda each: each.streams) if kept else None


def trial(url: str, say: Path, streams: int, seconds: float) -> Trial:
    heard = _heard(url, say, streams, seconds)
    return Trial(
        streams,
        ms([lag for each in heard for lag in each.partial_lags_s], 95),
        ms([lag for each in heard for lag in each.final_lags_s], 95),
        sum(each.late for each in heard) / max(sum(each.frames for each in heard), 1),
    )


def _heard(url: str, say: Path, streams: int, seconds: float) -> list[Heard]:
    processes = -(-streams // STREAMS_PER_PROCESS)
    if processes == 1:
        return [_talk(url, say, streams, seconds, 0.0)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        for ready in [pool.submit(time.monotonic) for _ in range(processes)]:
            ready.result()
        shares = [streams // processes + (number < streams % processes) for number in range(processes)]
        talks = [
            pool.submit(_talk, url, say, share, seconds, FRAME_S * number / processes)
            for number, share in enumerate(shares)
        ]
        return [talk.result() for talk in talks]


def _talk(url: str, say: Path, streams: int, seconds: float, delay_s: float) -> Heard:
    time.sleep(delay_s)  # so that the frames of the processes do not coincide
    return asyncio.run(live.load(url, say, streams, seconds))
