"""Word times as an aligner gives them → times that a subtitle can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[float, float]
"""Start and end, in seconds."""

SHORTEST_S = 0.04
"""Half of what the aligner can tell apart: no word is shorter."""

USUAL_S = 0.16
"""What a word gets that has no time of its own, where there is room for it."""


def repaired(spans: Sequence[Span], duration_s: float) -> list[Span]:
    """In order, without overlap, within [0, `duration_s`], and none without length as long as there is room.

    An aligner that loses its way gives many words one moment. They share the gap around it, up to `USUAL_S` each;
    where there is no gap, their neighbours give up to half of theirs.
    """
    ordered = _in_order(spans, duration_s)
    n = 0
    while n < len(ordered):
        last = n
        while last < len(ordered) and _is_short(ordered[last]):
            last += 1
        if last > n:
            _spread(ordered, n, last, duration_s)
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


def _spread(spans: list[Span], first: int, last: int, duration_s: float) -> None:
    """Give `spans[first:last]`, all too short, equal parts of the room around them."""
    count = last - first
    wanted = count * USUAL_S
    low = spans[first - 1][1] if first else 0.0
    high = spans[last][0] if last < len(spans) else duration_s
    missing = max(count * SHORTEST_S - (high - low), 0.0)
    if missing and first:
        start, end = spans[first - 1]
        low = end - min(missing, (end - start) / 2)
        spans[first - 1] = (start, low)
        missing = max(count * SHORTEST_S - (high - low), 0.0)
    if missing and last < len(spans):
        start, end = spans[last]
        high = start + min(missing, (end - start) / 2)
        spans[last] = (high, end)
    middle = (spans[first][0] + spans[last - 1][1]) / 2
    width = min(wanted, high - low)
    begin = min(max(middle - width / 2, low), high - width)
    for n in range(count):
        spans[first + n] = (begin + width * n / count, begin + width * (n + 1) / count)


def _is_short(span: Span) -> bool:
    return span[1] - span[0] < SHORTEST_S
