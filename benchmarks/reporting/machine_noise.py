"""How quiet the machine was: the same small loop before and after, load average, and CPU time that the host took."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

LOOPS = 1_500_000
BUSY = 1.15
"""A calibration loop that waited for a core, or became slower, by more than this makes a run noisy."""
STOLEN = 0.02


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration loop, and the machine at that time. `cpu_s` grows when the cores are slower, `wall_s` when they
    are busy as well."""

    cpu_s: float
    wall_s: float
    load: float
    jiffies: int
    stolen: int


@dataclass(frozen=True, slots=True)
class Noise:
    """Between two calibrations.

    Attributes:
        before_cpu_s, after_cpu_s: CPU time of the same loop.
        wall_over_cpu: of both loops, the larger; above 1 the loop waited for a core.
        load_before, load_after: load average of the last minute.
        steal_share: share of all cores' time that the host gave to others.
    """

    before_cpu_s: float
    after_cpu_s: float
    wall_over_cpu: float
    load_before: float
    load_after: float
    steal_share: float

    @classmethod
    def between(cls, before: Calibration, after: Calibration) -> Noise:
        jiffies = max(after.jiffies - before.jiffies, 1)
        return cls(
            before_cpu_s=round(before.cpu_s, 4),
            after_cpu_s=round(after.cpu_s, 4),
            wall_over_cpu=round(max(before.wall_s / before.cpu_s, after.wall_s / after.cpu_s), 3),
            load_before=round(before.load, 2),
            load_after=round(after.load, 2),
            steal_share=round((after.stolen - before.stolen) / jiffies, 4),
        )

    def as_json(self) -> dict[str, float]:
        return asdict(self)


def calibrate() -> Calibration:
    """Run the loop: interpreter and NumPy, about a quarter of a second."""
    wall, cpu = time.perf_counter(), time.process_time()
    total = 0
    for n in range(LOOPS):
        total += n & 7
    np.sort(np.random.default_rng(0).standard_normal(LOOPS // 2))
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    return Calibration(cpu_s, wall_s, os.getloadavg()[0], *_jiffies())


def describe(noises: Iterable[Mapping[str, Any]]) -> str:
    """In words, for readers: how much the machine was disturbed during these."""
    found = list(noises)
    if not found:
        return "no measurement of noise"
    loops = [noise[key] for noise in found for key in ("before_cpu_s", "after_cpu_s")]
    waited = max(noise["wall_over_cpu"] for noise in found)
    drift = max(loops) / min(loops)
    stolen = max(noise["steal_share"] for noise in found)
    load = statistics.median(noise["load_before"] for noise in found)
    kind = "busy" if waited > BUSY or drift > BUSY or stolen > STOLEN else "quiet"
    return (
        f"a {kind} machine: calibration loops differ by {100 * drift - 100:.0f} % and waited up to "
        f"{100 * waited - 100:.0f} % for a core, median load {load:.1f}, up to {100 * stolen:.1f} % of CPU time stolen"
    )


def _jiffies() -> tuple[int, int]:
    """All CPU time since boot, and the part of it that the host stole; zeros where there is no /proc."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    except OSError:
        return 0, 0
    values = [int(value) for value in first.split()[1:9]]  # the last two, guests, are in the first ones already
    return sum(values), values[7] if len(values) > 7 else 0
