"""Where a server's time went between two looks at its metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx

from benchmarks.server import Server

NAMES = (
    "steno_step_seconds_sum", "steno_batch_size_sum", "steno_batch_size_count", "steno_queue_wait_seconds_sum",
    "steno_queue_wait_seconds_count", "steno_vad_busy_seconds_total", "steno_audio_seconds_total",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """The counters at one time."""

    at: float
    values: dict[str, float]
    cpu_s: float


def look(server: Server) -> Look:
    values = dict.fromkeys(NAMES, 0.0)
    for line in httpx.get(f"{server.url}/metrics").text.splitlines():
        name = line.partition(" ")[0].partition("{")[0]
        if name in values:
            values[name] += float(line.rsplit(" ", 1)[1])
    return Look(time.perf_counter(), values, server.cpu_s())


def shares(before: Look, after: Look) -> dict[str, float]:
    """`step_share`: of the time in which the engine computed; `vad_share` likewise. `cpu_cores`: of the server with
    its processes. `batch`: requests in a step."""
    wall_s = after.at - before.at
    grown = {name: value - before.values[name] for name, value in after.values.items()}
    return {
        "step_share": grown["steno_step_seconds_sum"] / wall_s,
        "batch": grown["steno_batch_size_sum"] / max(grown["steno_batch_size_count"], 1),
        "queue_wait_ms": 1000 * grown["steno_queue_wait_seconds_sum"] / max(grown["steno_queue_wait_seconds_count"], 1),
        "vad_share": grown["steno_vad_busy_seconds_total"] / wall_s,
        "cpu_cores": (after.cpu_s - before.cpu_s) / wall_s,
    }
