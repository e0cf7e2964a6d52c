"""Compares two trees figure by figure, until each interval is narrow enough or the time is up."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.comparing.paired_run import LacksInterfaceError, Pairs, WorkloadFailedError
from benchmarks.comparing.ratio import SpeedChange
from benchmarks.comparing.trees import ROOT, Tree

NOISE_PAIRS = 40
"""An interval that is still too wide after so many pairs will not get narrow: the machine is too noisy."""


@dataclass(frozen=True)
class Limits:
    """When a comparison ends, and what it calls a regression."""

    width: float = 0.05
    """Half of the interval's width, as a share."""
    threshold: float = 0.10
    seconds: float = 900.0


@dataclass
class Comparison:
    """The pairs of each figure, measured one pair of each in turn, so that none has the machine's worst minutes."""

    old: Tree
    new: Tree
    figures: Sequence[str]
    limits: Limits
    chance: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self.pairs = {name: Pairs(name) for name in self.figures}
        self._code = self.new.folder if _has_workloads(self.new.folder) else ROOT

    @property
    def code(self) -> str:
        """Whose benchmarks are run."""
        return "NEW's" if self._code == self.new.folder else "this checkout's, because NEW has none"

    def run(self) -> None:
        ends = time.monotonic() + self.limits.seconds
        open_figures = list(self.figures)
        while open_figures and time.monotonic() < ends:
            for name in list(open_figures):
                self._measure(name)
                if self._is_done(name):
                    open_figures.remove(name)
                if time.monotonic() >= ends:
                    break

    @property
    def failures(self) -> list[str]:
        return [name for name in self.figures if self.pairs[name].failure]

    @property
    def unmeasured(self) -> list[str]:
        """Figures for which there was not enough time."""
        some = (name for name in self.figures if not (self.pairs[name].lacks or self.pairs[name].failure))
        return [name for name in some if self.pairs[name].interval is None]

    @property
    def regressions(self) -> list[str]:
        return [name for name in self.figures if self.is_regression(name)]

    def is_regression(self, name: str) -> bool:
        interval = self.pairs[name].interval
        return interval is not None and interval.is_regression(self.limits.threshold)

    def line(self, name: str) -> str:
        """A row of the table: medians, ratio, interval, verdict."""
        pairs = self.pairs[name]
        if why := pairs.lacks or pairs.failure:
            return f"{name:14} {SpeedChange.UNKNOWN.value}: {why}"
        if (interval := pairs.interval) is None:
            return f"{name:14} {SpeedChange.UNKNOWN.value}: {len(pairs.old_s)} pairs are too few"
        old_s, new_s = (statistics.median(map(statistics.median, values)) for values in (pairs.old_s, pairs.new_s))
        verdict = interval.change.value
        if self.is_regression(name):
            verdict += ": a regression"
        elif interval.change is SpeedChange.UNKNOWN and interval.is_within(self.limits.threshold):
            verdict += f": less than {100 * self.limits.threshold:g} % either way"
        return (
            f"{name:14} {old_s:8.3f} {new_s:8.3f}  {interval.ratio:6.3f}  [{interval.low:.3f}, {interval.high:.3f}]"
            f"  {interval.pairs:3}  {verdict}"
        )

    def _measure(self, name: str) -> None:
        pairs = self.pairs[name]
        try:
            pairs.add(self.old, self.new, self._code, self.chance)
        except LacksInterfaceError as error:
            pairs.lacks = str(error)
            return
        except WorkloadFailedError as error:
            pairs.failure = str(error)
            return
        print(f"{name}: pair {len(pairs.old_s)}, ratio {math.exp(pairs.log_ratios[-1]):.3f}", flush=True)

    def _is_done(self, name: str) -> bool:
        pairs = self.pairs[name]
        if pairs.lacks or pairs.failure or len(pairs.old_s) >= NOISE_PAIRS:
            return True
        return pairs.interval is not None and pairs.interval.half_width <= self.limits.width


HEAD = f"{'figure':14} {'OLD s':>8} {'NEW s':>8}  {'ratio':>6}  {'99 % interval':14}  pairs  NEW is"


def _has_workloads(folder: Path) -> bool:
    return (folder / "benchmarks" / "comparing" / "workload_process.py").is_file()
