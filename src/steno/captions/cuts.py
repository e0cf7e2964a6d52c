"""Which pieces go into one cue. The rules and their order are written down in `captions/cues.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import accumulate

from steno.captions.clock import ms
from steno.captions.endings import BreakRank
from steno.captions.lines import CLINGING, clings, fewest_lines
from steno.captions.style import CueStyle
from steno.captions.text_units import TextUnit

ORPHAN_COLUMNS = 10
"""A cue of one word (or of a phrase without spaces) no wider than this is an orphan."""

HESITATION = 2.0
"""Times `pause_s`: a pause within a sentence up to here may be bridged, so that no word is left alone."""

# Costs. Each rule outweighs what is below it in the sum: removing a cue that is too short or an orphan always pays,
# even if a sentence then ends within a cue, and a sentence end within a cue is worse than any unevenness.
TOO_SHORT = 2000.0
ORPHAN = 500.0
PART_WITHIN = 150.0
"""The end of a sentence, or a pause, within a cue."""
TOO_FAST = 100.0
"""For a cue that takes twice its time to read, or more; in proportion for less, or sense would give way to seconds."""
CUE = 30.0
FULL = 60.0
"""Times the share of the box that is filled, squared: cues of a sentence come out about equal."""
BREAKS = {
    BreakRank.INSIDE: 80.0,
    BreakRank.PLAIN: 36.0,
    BreakRank.PHRASE: 26.0,
    BreakRank.CLAUSE: 8.0,
    BreakRank.SENTENCE: 0.0,
}
PAUSE = 12.0
"""Less for a break in a pause almost as long as `pause_s`, in proportion."""


def cuts(pieces: Sequence[TextUnit], style: CueStyle, end_ms: int | None) -> list[range]:
    """The pieces of each cue, as ranges of indexes that follow each other."""
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
        """What a column takes to read."""
        self._starts = [piece.start_ms for piece in pieces]
        self._ends = [piece.end_ms for piece in pieces]
        gap_ms = ms(style.gap_s)
        last: float = math.inf if end_ms is None else end_ms
        self._latest: list[float] = [*(start - gap_ms for start in self._starts[1:]), last]
        """When a cue that ends with this piece must be gone."""
        self._spaces = [int(piece.spaced) for piece in pieces]
        self._columns = list(accumulate((piece.width + piece.spaced for piece in pieces), initial=0))
        self._spaced = list(accumulate(self._spaces, initial=0))
        self._break = [self._break_after(n) for n in range(len(pieces))]
        self._within = [PART_WITHIN if self._ends_part(n) else 0.0 for n in range(len(pieces))]

    def ranges(self) -> Iterator[range]:
        for stretch in self._stretches():
            if self._fits(stretch):
                yield stretch
            else:
                yield from self._divided(stretch)

    def _stretches(self) -> Iterator[range]:
        """What no cue reaches beyond: parts of which both can stand alone, and what a real pause divides."""
        begin = part = 0
        stood = False
        for n in range(len(self._pieces)):
            if not self._within[n]:
                continue
            stands = self._stands_alone(part, n)
            if stood and stands and part > begin:
                yield range(begin, part)
                begin = part
            if self._divides(n):
                yield range(begin, n + 1)
                begin = n + 1
            part, stood = n + 1, stands

    def _ends_part(self, n: int) -> bool:
        return self._pieces[n].ends is BreakRank.SENTENCE or self._pause_after(n) >= self._pause_ms

    def _divides(self, n: int) -> bool:
        """Whether the pause after a piece is one that nothing bridges: within a sentence, it may be a hesitation."""
        is_sentence = self._pieces[n].ends is BreakRank.SENTENCE
        return self._pause_after(n) >= self._pause_ms * (1 if is_sentence else HESITATION)

    def _pause_after(self, n: int) -> float:
        return self._starts[n + 1] - self._ends[n] if n + 1 < len(self._pieces) else math.inf

    def _stands_alone(self, first: int, last: int) -> bool:
        return self._flaws(first, last) < ORPHAN

    def _fits(self, stretch: range) -> bool:
        """Whether all of it is one cue and nothing can be said against that."""
        first, last = stretch[0], stretch[-1]
        return (
            self._ends[last] - self._starts[first] <= self._max_ms
            and not any(self._within[first:last])
            and fewest_lines(self._pieces[first : last + 1], self._style.max_line_chars) <= self._style.max_lines
            and (first == last or self._flaws(first, last) == 0)
        )

    def _flaws(self, first: int, last: int) -> float:
        """What is wrong with a cue for itself: its time, its reading speed, or that it is one short word."""
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

    def _divided(self, stretch: range) -> Iterator[range]:
        """The cheapest way to cut it, by dynamic programming over all cues that fit."""
        offset, count = stretch.start, len(stretch)
        best = [0.0, *[math.inf] * count]
        came_from = [0] * (count + 1)
        for first in stretch:
            before = best[first - offset]
            for last, cost in self._cues_from(first, stretch.stop):
                if last + 1 < stretch.stop:
                    cost += self._break[last]
                if before + cost < best[last + 1 - offset]:
                    best[last + 1 - offset], came_from[last + 1 - offset] = before + cost, first - offset
        found, end = [], count
        while end:
            found.append(range(came_from[end] + offset, end + offset))
            end = came_from[end]
        yield from reversed(found)

    def _cues_from(self, first: int, stop: int) -> Iterator[tuple[int, float]]:
        """The last piece and the cost of each cue that begins with `first` and fits its box; one piece always does."""
        style, pieces, ends, spaces, columns_to = self._style, self._pieces, self._ends, self._spaces, self._columns
        width, lines, within = style.max_line_chars, 1, 0.0
        box = width * style.max_lines
        filled = -spaces[first]
        start_ms, begin = self._starts[first], columns_to[first] + spaces[first]
        read_ms, enough_ms, min_ms, latest = self._read_ms, self._max_ms, self._min_ms, self._latest
        for last in range(first, stop):
            filled += pieces[last].width + spaces[last]
            if last > first:
                if filled > width:
                    lines, filled = lines + 1, pieces[last].width
                if lines > style.max_lines or ends[last] - start_ms > enough_ms:
                    return
                within += self._within[last - 1]
            columns = columns_to[last + 1] - begin
            cost = CUE + FULL * (columns / box) ** 2 + within
            if columns <= ORPHAN_COLUMNS or not min_ms <= latest[last] - start_ms >= columns * read_ms <= enough_ms:
                cost += self._flaws(first, last)
            yield last, cost

    def _break_after(self, n: int) -> float:
        piece = self._pieces[n]
        pause = min(1.0, self._pause_after(n) / self._pause_ms)
        return BREAKS[piece.ends] + (CLINGING if clings(piece) else 0.0) - PAUSE * pause
