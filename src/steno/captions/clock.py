"""Makes word times valid: whole milliseconds, in order, within the audio, with positive durations.

Recognisers and aligners return words of zero length, overlapping words, outliers by minutes, and runs of words with the
same time. Times are integers from here on, so that nothing is rounded twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_S = 3.6e8
"""Max time in seconds: 100,000 hours."""
MS_PER_CHAR = 60
"""Duration of a character if its word has none: 17 characters a second, as in brisk speech."""


@dataclass(slots=True)
class TimedText:
    """The time of one word of `size` characters."""

    size: int
    start_ms: int
    end_ms: int


def ms(seconds: float) -> int:
    """The nearest millisecond, limited to [0, `MAX_S`]; NaN becomes 0."""
    if 0 <= seconds <= MAX_S:
        return round(seconds * 1000)
    return round(MAX_S * 1000) if seconds > 0 else 0


def repair(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Make the spans' times valid, in place; valid ones are unchanged.

    Afterwards starts increase by at least 1 ms per character, a span ends at the start of the next one or earlier, and
    none ends after `end_ms`. Audio shorter than 1 ms per character is treated as that long: otherwise not all of the
    text could be shown.
    """
    if end_ms is not None:
        end_ms = max(end_ms, sum(span.size for span in spans))
        for span in spans:
            span.start_ms, span.end_ms = min(span.start_ms, end_ms), min(span.end_ms, end_ms)
    _fix_order(spans)
    _spread_equal_starts(spans, end_ms)
    _close_overlaps(spans, end_ms)


def _fix_order(spans: Sequence[TimedText]) -> None:
    """Move starts that are out of order to the end of the word before, or to the next start that is in order."""
    if all(one.start_ms <= other.start_ms for one, other in pairwise(spans)):
        return
    in_order = _longest_rising([span.start_ms for span in spans])
    earliest_ms = 0
    for anchor, previous in zip([*in_order, len(spans)], [-1, *in_order], strict=True):
        limit = spans[anchor].start_ms if anchor < len(spans) else None
        for span in spans[previous + 1 : anchor]:
            span.start_ms = earliest_ms if limit is None else min(earliest_ms, limit)
            span.end_ms = span.start_ms
        if limit is not None:
            earliest_ms = max(spans[anchor].start_ms, spans[anchor].end_ms)


def _longest_rising(values: Sequence[int]) -> list[int]:
    """Indexes of a longest non-decreasing subsequence (patience sorting)."""
    tails: list[int] = []
    tail_indexes: list[int] = []
    before: list[int] = []
    for n, value in enumerate(values):
        index = bisect_right(tails, value)
        before.append(tail_indexes[index - 1] if index else -1)
        tails[index : index + 1] = [value]
        tail_indexes[index : index + 1] = [n]
    found, n = [], tail_indexes[-1]
    while n >= 0:
        found.append(n)
        n = before[n]
    return found[::-1]


def _spread_equal_starts(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Spread words with equal starts over the time up to the next one, and give words without duration some."""
    first = 0
    for last, span in enumerate(spans):
        following = spans[last + 1].start_ms if last + 1 < len(spans) else end_ms
        if last + 1 < len(spans) and following == span.start_ms:
            continue
        if first < last or span.end_ms <= span.start_ms:
            _spread(spans[first : last + 1], following)
        first = last + 1


def _spread(group: Sequence[TimedText], following_ms: int | None) -> None:
    start_ms, size = group[0].start_ms, sum(span.size for span in group)
    until_ms = max(span.end_ms for span in group)
    if until_ms <= start_ms:
        until_ms = start_ms + MS_PER_CHAR * size
    if following_ms is not None:
        until_ms = min(until_ms, following_ms)
    done = 0
    for span in group:
        span.start_ms = start_ms + (until_ms - start_ms) * done // size
        done += span.size
        span.end_ms = start_ms + (until_ms - start_ms) * done // size


def _close_overlaps(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Enforce 1 ms per character before each start, and no end after the next start."""
    earliest = 0
    for span in spans:
        if span.start_ms < earliest:
            span.start_ms = earliest
        earliest = span.start_ms + span.size
        if span.end_ms < earliest:
            span.end_ms = earliest
    latest = spans[-1].end_ms if end_ms is None and spans else end_ms
    for span in reversed(spans):
        assert latest is not None
        if span.end_ms > latest:
            span.end_ms = latest
            span.start_ms = min(span.start_ms, latest - span.size)
        latest = span.start_ms
