"""Word times that can be relied on: whole milliseconds, in order, inside the audio, none without duration.

Recognisers and aligners give all kinds: words of no length, words that overlap, one that went astray by minutes, whole
runs with the same time. Times are integers from here on, so that nothing is ever rounded twice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

LONGEST_S = 3.6e8
"""No clock reaches further: 100,000 hours."""
NOMINAL_MS = 60
"""What a character takes where its word has no duration: 17 a second, brisk speech."""


@dataclass(slots=True)
class TimedText:
    """The text of one word, of `size` characters, and its time."""

    size: int
    start_ms: int
    end_ms: int


def ms(seconds: float) -> int:
    """The nearest millisecond; what is no time at all becomes 0, what is beyond all clocks `LONGEST_S`."""
    if 0 <= seconds <= LONGEST_S:
        return round(seconds * 1000)
    return round(LONGEST_S * 1000) if seconds > 0 else 0


def repair(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Make the spans' times valid, in place, and leave alone those that are.

    Afterwards starts rise by at least a millisecond for each character, a span ends where the next one begins or
    before that, and none ends after `end_ms`. Where the audio is shorter than a millisecond a character, it is taken to
    be that long: there is no other way to show all of the text.
    """
    if end_ms is not None:
        end_ms = max(end_ms, sum(span.size for span in spans))
        for span in spans:
            span.start_ms, span.end_ms = min(span.start_ms, end_ms), min(span.end_ms, end_ms)
    _settle_strays(spans)
    _share_starts(spans, end_ms)
    _close_overlaps(spans, end_ms)


def _settle_strays(spans: Sequence[TimedText]) -> None:
    """Starts that break the order move to the end of the word before, or to where the next good one begins."""
    if all(one.start_ms <= other.start_ms for one, other in pairwise(spans)):
        return
    trusted = _longest_rising([span.start_ms for span in spans])
    begin = 0
    for trusted_at, previous in zip([*trusted, len(spans)], [-1, *trusted], strict=True):
        limit = spans[trusted_at].start_ms if trusted_at < len(spans) else None
        for span in spans[previous + 1 : trusted_at]:
            span.start_ms = begin if limit is None else min(begin, limit)
            span.end_ms = span.start_ms
        if limit is not None:
            begin = max(spans[trusted_at].start_ms, spans[trusted_at].end_ms)


def _longest_rising(values: Sequence[int]) -> list[int]:
    """Indexes of a longest subsequence that never falls (patience sorting)."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for n, value in enumerate(values):
        place = bisect_right(tails, value)
        before.append(tail_at[place - 1] if place else -1)
        tails[place : place + 1] = [value]
        tail_at[place : place + 1] = [n]
    found, n = [], tail_at[-1]
    while n >= 0:
        found.append(n)
        n = before[n]
    return found[::-1]


def _share_starts(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Words that claim the same start share the time up to the next one; a word without duration gets some."""
    first = 0
    for last, span in enumerate(spans):
        following = spans[last + 1].start_ms if last + 1 < len(spans) else end_ms
        if last + 1 < len(spans) and following == span.start_ms:
            continue
        if first < last or span.end_ms <= span.start_ms:
            _share(spans[first : last + 1], following)
        first = last + 1


def _share(run: Sequence[TimedText], following_ms: int | None) -> None:
    start_ms, size = run[0].start_ms, sum(span.size for span in run)
    until_ms = max(span.end_ms for span in run)
    if until_ms <= start_ms:
        until_ms = start_ms + NOMINAL_MS * size
    if following_ms is not None:
        until_ms = min(until_ms, following_ms)
    done = 0
    for span in run:
        span.start_ms = start_ms + (until_ms - start_ms) * done // size
        done += span.size
        span.end_ms = start_ms + (until_ms - start_ms) * done // size


def _close_overlaps(spans: Sequence[TimedText], end_ms: int | None) -> None:
    """Nothing begins before there was a millisecond for each character so far, nor ends after the next begins."""
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
