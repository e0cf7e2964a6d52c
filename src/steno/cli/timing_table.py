"""The table of `--timings`: where the time of each recording went."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field

from steno.stage_times import STAGES, StageTimes, peak_memory_mb

MIN_COLUMNS = 140
"""Width of the table where stderr is no terminal."""


@dataclass(frozen=True, slots=True)
class TimedRecording:
    """One row. `seconds`: by stage."""

    label: str
    audio_s: float
    seconds: dict[str, float]
    total_s: float


@dataclass(slots=True)
class TimingTable:
    """Rows in the order in which recordings are finished.

    Args:
        has_memory: show this process's peak; false if a server does the work.
    """

    has_memory: bool = True
    rows: list[TimedRecording] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def add(self, label: str, audio_s: float, times: StageTimes) -> None:
        self.rows.append(TimedRecording(label, audio_s, times.seconds, times.total_s))

    def print(self) -> None:
        """Print the table on stderr; nothing without rows. Stages that took no time have no column."""
        if not self.rows:
            return
        from rich.console import Console
        from rich.table import Table

        every = self._sum()
        stages = [stage for stage in STAGES if every.seconds.get(stage)]
        table = Table(box=None, pad_edge=False, show_footer=len(self.rows) > 1)
        columns = ["audio", *stages, "total", "factor"]
        table.add_column("seconds", "all", overflow="fold")
        for name, footer in zip(columns, _cells(every, stages), strict=True):
            table.add_column(name, footer, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(row.label, *_cells(row, stages))
        console = Console(file=sys.stderr, width=None if sys.stderr.isatty() else MIN_COLUMNS, highlight=False)
        console.print(table, markup=False)
        if self.has_memory:
            console.print(f"peak memory of the process: {peak_memory_mb():.0f} MiB", markup=False)

    def _sum(self) -> TimedRecording:
        seconds = {stage: sum(row.seconds.get(stage, 0.0) for row in self.rows) for stage in STAGES}
        audio_s = sum(row.audio_s for row in self.rows)
        return TimedRecording("all", audio_s, seconds, time.perf_counter() - self.began)


def _cells(row: TimedRecording, stages: list[str]) -> list[str]:
    seconds = [row.audio_s, *(row.seconds.get(stage, 0.0) for stage in stages), row.total_s]
    factor = f"{row.total_s / row.audio_s:.3f}" if row.audio_s > 0 else ""
    return [*(f"{each:.2f}" for each in seconds), factor]
