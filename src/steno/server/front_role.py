"""One of several fronts that serve a port together: what it shares with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steno.engine.front_table import FrontTable
from steno.engine.shared_counts import SharedCounts

TABLE, METRICS, JOBS = "table", "metrics", "jobs.sock"
"""In the folder of the fronts: the table, the folder of metrics, the socket of the front that runs stored jobs."""


@dataclass(frozen=True, slots=True)
class FrontRole:
    """What a front knows of its place among the others: its number, and what all of them use together.

    Args:
        number: from 0.
        workers: addresses of the worker processes.
    """

    number: int
    folder: Path
    table: FrontTable
    counts: SharedCounts
    workers: Sequence[Path]

    @property
    def runs_jobs(self) -> bool:
        """Whether it runs stored jobs; the others hand them over."""
        return self.number == 0


def role_of(number: int, fronts: int, folder: Path, workers: Sequence[Path]) -> FrontRole:
    table = FrontTable(folder / TABLE, fronts)
    return FrontRole(number, folder, table, SharedCounts(table, number), workers)
