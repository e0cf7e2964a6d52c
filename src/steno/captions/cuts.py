"""Divides pieces into cues, by dynamic programming. The rules and their order are in `captions/cues.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

from steno.captions.clock import ms
from steno.captions.endings import BreakRank
from steno.captions.lines import CLINGING_COST, belongs_to_next, min_lines
from steno.captions.style import CueStyle
from steno.captions.text_units import TextUnit

ORPHAN_COLUMNS = 10
"""A cue of one word (or of a phrase without spaces) no wider than this is an orphan."""

MAX_BRIDGED_PAUSES = 2.0
"""Max pause within a sentence that may be bridged, in multiples of `pause_s`, so that no word is left alone."""

# Costs. Each outweighs the sum of those below it: removing a cue that is too short or an orphan always pays, even if a
# sentence then ends within a cue, and a sentence end within a cue is worse than any unevenness.
TOO_SHORT = 2000.0
ORPHAN = 500.0
BREAK_WITHIN = 150.0
"""For the end of a sentence, or a pause, within a cue."""
TOO_FAST = 100.0
"""For a cue that takes twice its duration to read, or more; proportional below, so that syntax is not sacrificed for
fractions of a second."""
CUE_COST = 30.0
FILL_COST = 60.0
"""Factor of the squared share of the box that is filled, which makes cues of a sentence about equal."""
BREAK_COSTS = {
    BreakRank.INSIDE: 80.0,
    BreakRank.PLAIN: 36.0,
    BreakRank.PHRASE: 26.0,
    BreakRank.CLAUSE: 8.0,
    BreakRank.SENTENCE: 0.0,
}
PAUSE_DISCOUNT = 12.0
"""Reduction for a break in a pause, proportional to its length up to `pause_s`."""


def cuts(pieces: Sequence[TextUnit], style: CueStyle, end_ms: int | None) -> list[range]:
    """The pieces of each cue, as consecutive ranges of indexes."""
    return list(_Cutter(pieces, style, end_ms).ranges()) if pieces else []


class _Cutter:
    def __init__(self, pieces: Sequence[TextUnit], style: CueStyle, end_ms: int | None) -> None:
        self._pieces = pieces
        self._style = style
        self._min_ms, self._max_ms, self._pause_ms = (
            ms(style.min_duration_s),
            ms(style.max_duration_s),
            ms(style.pause_s),
        )
        self._read_ms = 1000 / style.max_cps
        """Reading time per column, in ms."""
        self._starts = [piece.start_ms for piece in pieces]
        self._ends = [piece.end_ms for piece in pieces]
        gap_ms = ms(style.gap_s)
        last: float = math.inf if end_ms is None else end_ms
        self._latest: list[float] = [*(start - gap_ms for start in self._starts[1:]), last]
        """Latest end of a cue whose last piece is this one."""
        self._spaces = [int(piece.spaced) for piece in pieces]
        self._columns = list(accumulate((piece.width + piece.spaced for piece in pieces), initial=0))
        self._spaced = list(accumulate(self._spaces, initial=0))
        self._break = [self._break_after(n) for n in range(len(pieces))]
        self._within = [BREAK_WITHIN if self._ends_sentence_or_pause(n) else 0.0 for n in range(len(pieces))]

    def ranges(self) -> Iterator[range]:
        for span in self._spans():
            if self._fits(span):
                yield span
            else:
                yield from self._cut(span)

    def _spans(self) -> Iterator[range]:
        """Spans that no cue crosses: divided by long pauses, or between sentences that can both stand alone."""
        begin = part = 0
        previous_stands = False
        for n in range(len(self._pieces)):
            if not self._within[n]:
                continue
            stands = self._stands_alone(part, n)
            if previous_stands and stands and part > begin:
                yield range(begin, part)
                begin = part
            if self._is_hard_break(n):
                yield range(begin, n + 1)
                begin = n + 1
            part, previous_stands = n + 1, stands

    def _ends_sentence_or_pause(self, n: int) -> bool:
        return self._pieces[n].ends is BreakRank.SENTENCE or self._pause_after(n) >= self._pause_ms

    def _is_hard_break(self, n: int) -> bool:
        """Whether the pause after a piece is never bridged; within a sentence, a short one may be a hesitation."""
        is_sentence = self._pieces[n].ends is BreakRank.SENTENCE
        return self._pause_after(n) >= self._pause_ms * (1 if is_sentence else MAX_BRIDGED_PAUSES)

    def _pause_after(self, n: int) -> float:
        return self._starts[n + 1] - self._ends[n] if n + 1 < len(self._pieces) else math.inf

    def _stands_alone(self, first: int, last: int) -> bool:
        return self._defect_cost(first, last) < ORPHAN

    def _fits(self, span: range) -> bool:
        """Whether the span fits one cue without any defect."""
        first, last = span[0], span[-1]
        return (
            self._ends[last] - self._starts[first] <= self._max_ms
            and not any(self._within[first:last])
            and min_lines(self._pieces[first : last + 1], self._style.max_line_chars) <= self._style.max_lines
            and (first == last or self._defect_cost(first, last) == 0)
        )

    def _defect_cost(self, first: int, last: int) -> float:
        """Cost of a cue's own defects: too short, too fast to read, or an orphan."""
        columns = self._columns[last + 1] - self._columns[first] - self._spaces[first]
        free_ms = self._latest[last] - self._starts[first]
        cost = 0.0
        if free_ms < self._min_ms:
            cost += TOO_SHORT
        if columns <= ORPHAN_COLUMNS and self._spaced[last + 1] == self._spaced[first + 1]:
            cost += ORPHAN
        shown_ms = free_ms if free_ms < self._max_ms else self._max_ms
        read_ms = columns * self._read_ms
        if read_ms > shown_ms:
            cost += TOO_FAST if read_ms > 2 * shown_ms else TOO_FAST * (read_ms / shown_ms - 1)
        return cost

    def _cut(self, span: range) -> Iterator[range]:
        """The cheapest division of the span, by dynamic programming over all cues that fit."""
        offset, count = span.start, len(span)
        best = [0.0, *[math.inf] * count]
        came_from = [0] * (count + 1)
        for first in span:
            base = best[first - offset]
            for last, cost in self._cues_from(first, span.stop):
                if last + 1 < span.stop:
                    cost += self._break[last]
                if base + cost < best[last + 1 - offset]:
                    best[last + 1 - offset], came_from[last + 1 - offset] = base + cost, first - offset
        found, end = [], count
        while end:
            found.append(range(came_from[end] + offset, end + offset))
            end = came_from[end]
        yield from reversed(found)

    def _cues_from(self, first: int, stop: int) -> Iterator[tuple[int, float]]:
        """Last piece and cost of each cue that starts with `first` and fits its box; a single piece always fits."""
        style, pieces, ends, spaces, columns_to = self._style, self._pieces, self._ends, self._spaces, self._columns
        width, lines, within = style.max_line_chars, 1, 0.0
        box = width * style.max_lines
        filled = -spaces[first]
        start_ms, begin = self._starts[first], columns_to[first] + spaces[first]
        read_ms, max_ms, min_ms, latest = self._read_ms, self._max_ms, self._min_ms, self._latest
        for last in range(first, stop):
            filled += pieces[last].width + spaces[last]
            if last > first:
                if filled > width:
                    lines, filled = lines + 1, pieces[last].width
                if lines > style.max_lines or ends[last] - start_ms > max_ms:
                    return
                within += self._within[last - 1]
            columns = columns_to[last + 1] - begin
            cost = CUE_COST + FILL_COST * (columns / box) ** 2 + within
            if columns <= ORPHAN_COLUMNS or not min_ms <= latest[last] - start_ms >= columns * read_ms <= max_ms:
                cost += self._defect_cost(first, last)
            yield last, cost

    def _break_after(self, n: int) -> float:
        piece = self._pieces[n]
        pause = min(1.0, self._pause_after(n) / self._pause_ms)
        return BREAK_COSTS[piece.ends] + (CLINGING_COST if belongs_to_next(piece) else 0.0) - PAUSE_DISCOUNT * pause
