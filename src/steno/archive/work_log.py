"""Counts what was computed, over all runs: nothing may be computed twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

WORK_LOG = "computed.jsonl"


@dataclass(slots=True)
class WorkCounts:
    """How much was computed, by stage."""

    stages: Counter[str] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Stages and pieces that were computed before, from the same inputs."""


class WorkLog:
    """What was computed of one recording: a line for each stage and piece.

    A line is appended when the result is stored. It has no say in what is computed next.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / WORK_LOG

    def stage(self, stage: str, key: str) -> None:
        self._append([stage, key])

    def piece(self, stage: str, key: str, number: int) -> None:
        self._append([stage, key, number])

    def _append(self, entry: list[str | int]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")


def counts_of(works: Iterable[Path]) -> WorkCounts:
    """The counts of all runs. `works`: the folders of `WorkLog`s."""
    counts = WorkCounts()
    for work in works:
        lines = (work / WORK_LOG).read_bytes().splitlines() if (work / WORK_LOG).exists() else []
        for line, times in Counter(lines).items():
            counts.repeated += times - 1
            stage, _, *piece = json.loads(line)
            (counts.pieces if piece else counts.stages)[stage] += times
    return counts
