"""Praat's TextGrid, long format: a tier of lines and one of words. Intervals tile the recording; silence is empty."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from steno.captions.clock import ms
from steno.captions.payload import printable
from steno.types import Segment

Interval = tuple[int, int, str]
"""Start and end in milliseconds, and text."""


def textgrid(lines: Sequence[Segment], *, duration_s: float) -> str:
    """The file's text. Intervals that would overlap the one before are shortened, and left out if nothing is left."""
    tiers = {
        "lines": [(ms(line.start_s), ms(line.end_s), line.text) for line in lines],
        "words": [(ms(word.start_s), ms(word.end_s), word.text) for line in lines for word in line.words],
    }
    last_ms = max([ms(duration_s), 1, *(end_ms for intervals in tiers.values() for _, end_ms, _ in intervals)])
    head = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        *_extent("", last_ms),
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    rows = [row for n, (name, own) in enumerate(tiers.items(), 1) for row in _tier(n, name, own, last_ms)]
    return "\n".join([*head, *rows]) + "\n"


def _tier(number: int, name: str, intervals: Iterable[Interval], last_ms: int) -> Iterator[str]:
    tiled = list(_tiled(intervals, last_ms))
    yield f"    item [{number}]:"
    yield '        class = "IntervalTier"'
    yield f'        name = "{name}"'
    yield from _extent("        ", last_ms)
    yield f"        intervals: size = {len(tiled)}"
    for n, (start_ms, end_ms, text) in enumerate(tiled, 1):
        yield f"        intervals [{n}]:"
        yield f"            xmin = {start_ms / 1000:.3f}"
        yield f"            xmax = {end_ms / 1000:.3f}"
        yield f'            text = "{_quoted(text)}"'


def _extent(indent: str, last_ms: int) -> list[str]:
    return [f"{indent}xmin = 0", f"{indent}xmax = {last_ms / 1000:.3f}"]


def _tiled(intervals: Iterable[Interval], last_ms: int) -> Iterator[Interval]:
    at_ms = 0
    for start_ms, end_ms, text in intervals:
        start_ms = max(start_ms, at_ms)
        if end_ms <= start_ms:
            continue
        if start_ms > at_ms:
            yield at_ms, start_ms, ""
        yield start_ms, end_ms, text
        at_ms = end_ms
    if at_ms < last_ms:
        yield at_ms, last_ms, ""


def _quoted(text: str) -> str:
    return printable(text).replace('"', '""')
