"""Repairs an aligner's word times for subtitles: in order, without overlap, with positive durations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[float, float]
"""Start and end, in seconds."""

MIN_WORD_S = 0.04
"""Min duration of a word: half of the aligner's resolution."""

TYPICAL_WORD_S = 0.16
"""Duration of a word without a time of its own, if there is space."""


def repair_times(spans: Sequence[Span], duration_s: float) -> list[Span]:
    """Times in order, without overlap, within [0, `duration_s`], with positive durations if there is space.

    An aligner that loses track returns the same time for many words. They share the gap around it, up to
    `TYPICAL_WORD_S` each; if there is no gap, their neighbours give up to half of their time.
    """
    ordered = _in_order(spans, duration_s)
    n = 0
    while n < len(ordered):
        last = n
        while last < len(ordered) and _is_short(ordered[last]):
            last += 1
        if last > n:
            _spread_words(ordered, n, last, duration_s)
        n = max(last, n + 1)
    return ordered


def _in_order(spans: Sequence[Span], duration_s: float) -> list[Span]:
    ordered: list[Span] = []
    at = 0.0
    for start, end in spans:
        start = min(max(start, at), duration_s)
        at = min(max(end, start), duration_s)
        ordered.append((start, at))
    return ordered


def _spread_words(spans: list[Span], first: int, last: int, duration_s: float) -> None:
    """Give `spans[first:last]`, all too short, equal parts of the space around them."""
    count = last - first
    target = count * TYPICAL_WORD_S
    low = spans[first - 1][1] if first else 0.0
    high = spans[last][0] if last < len(spans) else duration_s
    missing = max(count * MIN_WORD_S - (high - low), 0.0)
    if missing and first:
        start, end = spans[first - 1]
        low = end - min(missing, (end - start) / 2)
        spans[first - 1] = (start, low)
        missing = max(count * MIN_WORD_S - (high - low), 0.0)
    if missing and last < len(spans):
        start, end = spans[last]
        high = start + min(missing, (end - start) / 2)
        spans[last] = (high, end)
    middle = (spans[first][0] + spans[last - 1][1]) / 2
    width = min(target, high - low)
    begin = min(max(middle - width / 2, low), high - width)
    for n in range(count):
        spans[first + n] = (begin + width * n / count, begin + width * (n + 1) / count)


def _is_short(span: Span) -> bool:
    return span[1] - span[0] < MIN_WORD_S
