"""What was computed, over all runs: nothing may be computed twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORK_LOG = "computed.jsonl"


@dataclass(frozen=True, slots=True)
class FinishedStage:
    """What a stage has made: names of files in the recording's folder, counts, damage."""

    files: tuple[str, ...]
    statistics: dict[str, float]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class WorkCounts:
    """How much was computed, by stage."""

    stages: Counter[str] = field(default_factory=Counter)
    pieces: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    """Stages and pieces that were computed before, from the same inputs."""
    seconds: dict[str, Counter[str]] = field(default_factory=dict)
    """By stage and kind of work, as in `stage_times`, with the wall time as `total`."""


class WorkLog:
    """What was computed of one recording: a line for each stage and piece, appended in one call.

    A run that is killed before the manifest has a stage's result leaves its line, from which the next run takes it.
    """

    def __init__(self, work: Path) -> None:
        self._path = work / WORK_LOG

    def add_stage(self, stage: str, key: str, finished: FinishedStage, seconds: Mapping[str, float]) -> None:
        """`seconds`: by kind of work, of the run that finished the stage."""
        rounded = {kind: round(each, 4) for kind, each in seconds.items()}
        self._append([stage, key, None, [finished.files, finished.statistics, finished.warnings], rounded])

    def add_piece(self, stage: str, key: str, number: int) -> None:
        self._append([stage, key, number])

    def add_missing_pieces(self, stage: str, key: str, numbers: Iterable[int]) -> None:
        """Add the pieces that have no line yet: a run can be killed after it kept a result and before its line."""
        known = {entry[2] for entry in _entries(self._path) if entry[:2] == [stage, key]}
        for number in sorted(set(numbers) - known):
            self.add_piece(stage, key, number)

    def finished(self, stage: str, key: str) -> FinishedStage | None:
        """What the stage has made last with this key; None = nothing."""
        found = [entry[3] for entry in _entries(self._path) if entry[:3] == [stage, key, None]]
        if not found:
            return None
        files, statistics, warnings = found[-1]
        return FinishedStage(tuple(files), statistics, tuple(warnings))

    def _append(self, entry: list[Any]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b", buffering=0) as file:
            end = file.tell()
            file.seek(max(end - 1, 0))
            cut_off = file.read(1) not in (b"", b"\n")
            file.write(b"\n" * cut_off + json.dumps(entry).encode() + b"\n")


def counts_of(works: Iterable[Path]) -> WorkCounts:
    """The counts of all runs. `works`: the folders of `WorkLog`s."""
    counts = WorkCounts()
    for work in works:
        known = set()
        for stage, key, number, *rest in _entries(work / WORK_LOG):
            (counts.stages if number is None else counts.pieces)[stage] += 1
            counts.repeated += (stage, key, number) in known
            known.add((stage, key, number))
            for seconds in rest[1:]:  # lines of earlier versions have none
                counts.seconds.setdefault(stage, Counter()).update(seconds)
    return counts


def _entries(path: Path) -> Iterator[list[Any]]:
    """The lines that are whole."""
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
