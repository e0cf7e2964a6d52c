"""Runs a workload on two commits, in pairs: two fresh processes, whose measurements take turns in random order.

A process is measured several times, but counts once: where its memory lies and which core it runs on make it some per
cent faster or slower for all of its life, so only more processes narrow the interval.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.comparing.ratio import RatioInterval, interval_of
from benchmarks.comparing.trees import Tree
from benchmarks.comparing.workloads import FIGURES

ANSWER_S = 120.0
END_S = 20.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Threads that wait for each other by spinning would count as work."""


class LacksInterfaceError(Exception):
    """A commit does not have what the workload calls."""


class WorkloadFailedError(Exception):
    """A workload's process ended, hung, or measured another source than it was given."""


class WorkloadProcess:
    """One workload on one tree, started by `with`.

    Args:
        code: the folder whose `benchmarks` is run, the same for both trees.
        seed: of Python's hashes, the same for both trees of a pair.
    """

    def __init__(self, name: str, tree: Tree, code: Path, seed: int) -> None:
        self._name, self._tree = name, tree
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(tree.source), "PYTHONHASHSEED": str(seed)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.comparing.workload_process", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, cwd=code, env=environment,
            start_new_session=True,
        )  # fmt: skip

    def __enter__(self) -> WorkloadProcess:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(END_S)
        self._process.stdout.close()
        self._errors.close()

    def wait_until_ready(self) -> None:
        source = Path(self._answer()["source"])
        if source != self._tree.source.resolve():
            raise WorkloadFailedError(f"{self._name}: {source} was imported instead of {self._tree.source}")

    def measure(self) -> float:
        """CPU seconds of the work, done once."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended: `_answer` says so
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return float(self._answer()["cpu_s"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_S)[0]:
            raise WorkloadFailedError(f"{self._name}: no answer in {ANSWER_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise WorkloadFailedError(f"{self._name}: the process ended:\n{self._errors.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "lacks" in answer:
            raise LacksInterfaceError(f"{self._tree.commit[:9]} lacks what the workload needs: {answer['lacks']}")
        return answer


@dataclass
class Pairs:
    """The measurements of one figure: for each pair of processes, the seconds of OLD and of NEW."""

    name: str
    old_s: list[list[float]] = field(default_factory=list)
    new_s: list[list[float]] = field(default_factory=list)
    lacks: str = ""
    """What OLD does not have."""
    failure: str = ""
    """Why the workload cannot run."""

    def add(self, old: Tree, new: Tree, code: Path, chance: random.Random) -> None:
        """Measure one more pair."""
        seed = chance.randrange(1, 2**31)
        with _both(self.name, old, new, code, seed) as (of_old, of_new):
            taken: dict[WorkloadProcess, list[float]] = {of_old: [], of_new: []}
            for _ in range(FIGURES[self.name].runs):
                for process in chance.sample([of_old, of_new], 2):
                    taken[process].append(process.measure())
        self.old_s.append(taken[of_old])
        self.new_s.append(taken[of_new])

    @property
    def log_ratios(self) -> list[float]:
        """One for each pair of processes: the median of the ratios of measurements that followed each other."""
        return [
            statistics.median(math.log(new / old) for old, new in zip(olds, news, strict=True))
            for olds, news in zip(self.old_s, self.new_s, strict=True)
        ]

    @property
    def interval(self) -> RatioInterval | None:
        return interval_of(self.log_ratios)


@contextlib.contextmanager
def _both(name: str, old: Tree, new: Tree, code: Path, seed: int) -> Iterator[tuple[WorkloadProcess, WorkloadProcess]]:
    with WorkloadProcess(name, old, code, seed) as of_old, WorkloadProcess(name, new, code, seed) as of_new:
        of_old.wait_until_ready()
        try:
            of_new.wait_until_ready()
        except LacksInterfaceError as error:  # the workloads are NEW's own
            raise WorkloadFailedError(str(error)) from error
        yield of_old, of_new
