"""Whether NEW is faster or slower than OLD: the median ratio of pairs, with an interval.

The interval of the median is that of the sign test, made of two order statistics (Conover, Practical Nonparametric
Statistics, 3.2). It holds whatever the distribution of the noise is, so a pair that another program disturbed costs one
rank, however wrong its value is.
"""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.99
MIN_PAIRS = 8
"""With fewer, even the interval from the lowest to the highest ratio has less than `CONFIDENCE`."""


class SpeedChange(enum.Enum):
    FASTER = "faster"
    SLOWER = "slower"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """NEW divided by OLD: above 1, NEW takes more."""

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def half_width(self) -> float:
        """Half of the interval on a logarithmic scale, as a share: 0.05 is ± 5 %."""
        return math.sqrt(self.high / self.low) - 1

    @property
    def change(self) -> SpeedChange:
        if self.low > 1:
            return SpeedChange.SLOWER
        return SpeedChange.FASTER if self.high < 1 else SpeedChange.UNKNOWN

    def is_regression(self, threshold: float) -> bool:
        """Whether all of the interval lies beyond the threshold (0.1 = 10 % slower)."""
        return self.low > 1 + threshold

    def is_within(self, threshold: float) -> bool:
        """Whether all of the interval is within the threshold, so that there is no regression."""
        return 1 / (1 + threshold) < self.low and self.high < 1 + threshold


def interval_of(log_ratios: Sequence[float], confidence: float = CONFIDENCE) -> RatioInterval | None:
    """The interval of the median of `log(NEW / OLD)`, one for each pair; None with too few pairs for `confidence`."""
    rank = _rank(len(log_ratios), confidence)
    if rank == 0:
        return None
    ordered = sorted(log_ratios)
    median, low, high = (math.exp(value) for value in (statistics.median(ordered), ordered[rank - 1], ordered[-rank]))
    return RatioInterval(median, low, high, len(ordered))


def _rank(pairs: int, confidence: float) -> int:
    """The highest rank whose order statistic, and its mirror image, enclose the median often enough; 0 = none."""
    outside, rank = 0.0, 0
    while True:
        outside += 2 * math.comb(pairs, rank) / 2**pairs
        if outside > 1 - confidence:
            return rank
        rank += 1
