"""Where the time of one result went: seconds by stage, the wall time, and the memory of the process.

Everything that reports stages has it from here: `Server-Timing`, `timings` in JSON, `steno_stage_seconds_total`, and
the table of `steno transcribe --timings`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

STAGES = ("decode", "vad", "load", "wait", "recognize", "align", "speakers", "translate", "write")
"""What every kind of work may do. Alignments of known text have further ones."""
TOTALS = ("total", "real_time_factor", "peak_memory_mb")
"""Names beside the stages in JSON."""
MIB = 2**20


class StageTimes:
    """Collects the seconds of one result's stages. Its wall time begins when it is created. Thread-safe.

    Pieces are worked on at once, so a stage's seconds are summed work, and their sum may exceed the wall time.

    Args:
        report: gets each measurement.
    """

    def __init__(self, report: Callable[[str, float], None] = lambda stage, seconds: None) -> None:
        self._report = report
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._open: list[tuple[str, float]] = []
        self._lock = threading.Lock()

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        self._report(stage, seconds)

    def add_all(self, seconds: Mapping[str, float]) -> None:
        for stage, each in seconds.items():
            self.add(stage, each)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time that the context is open, also if it fails."""
        entry = stage, time.perf_counter()
        with self._lock:
            self._open.append(entry)
        try:
            yield
        finally:
            with self._lock:
                self._open.remove(entry)
            self.add(stage, time.perf_counter() - entry[1])

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, up to now, in the order of `STAGES`; stages that were not part of the work are missing."""
        now = time.perf_counter()
        with self._lock:
            found = dict(self._seconds)
            for stage, began in self._open:
                found[stage] = found.get(stage, 0.0) + now - began
        return {**{stage: found[stage] for stage in STAGES if stage in found}, **found}

    @property
    def total_s(self) -> float:
        """Wall time up to now."""
        return time.perf_counter() - self._began

    def header(self) -> str:
        """`Server-Timing` (https://www.w3.org/TR/server-timing/), in milliseconds."""
        entries = {**self.seconds, "total": self.total_s}
        return ", ".join(f"{stage};dur={seconds * 1000:.1f}" for stage, seconds in entries.items())


def stages_in(timings: Mapping[str, float]) -> dict[str, float]:
    """The seconds of stages in the `timings` of a JSON document."""
    return {stage: seconds for stage, seconds in timings.items() if stage not in TOTALS}


def peak_memory_mb() -> float:
    """The most memory that this process has had resident, in MiB, since it started."""
    # Not `ru_maxrss` on Linux, where a child inherits its parent's peak.
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB  # bytes, on macOS
