"""Line breaking: as few lines as possible, balanced, broken by syntax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from steno.captions.endings import LINKS, BreakRank
from steno.captions.script import single_spaced
from steno.captions.style import CueStyle
from steno.captions.text_units import TextUnit, units_of

LINE_COST = 10_000.0
"""Cost of a line: larger than all others, so that there are as few as possible."""
UNEVEN_COST = 60.0
"""Cost of a line that differs from the mean by its full width; squared, so that small differences cost little."""
BREAK_COSTS = {
    BreakRank.INSIDE: 80.0,
    BreakRank.PLAIN: 14.0,
    BreakRank.PHRASE: 10.0,
    BreakRank.CLAUSE: 3.0,
    BreakRank.SENTENCE: -6.0,
}
CLINGING_COST = 6.0
"""Additional cost of a break after a word that belongs to the next one."""


def rebreak(text: str, style: CueStyle, language: str | None = None) -> tuple[str, ...]:
    """Break a text without times, for example a translation, into lines of at most `max_line_chars` columns.

    As few lines as possible, of about equal width. A text that does not fit into `max_lines` gets more lines, not wider
    ones: a player can show a third line, but truncates or wraps a long one. No line is empty; a text without visible
    characters has no lines.
    """
    pieces = units_of(single_spaced(text), style.max_line_chars, language)
    return lines_of(pieces, style.max_line_chars)


def lines_of(pieces: Sequence[TextUnit], max_width: int) -> tuple[str, ...]:
    """The pieces on as few lines as possible."""
    if not pieces:
        return ()
    count = min_lines(pieces, max_width)
    if count == 1:
        return (text_of(pieces),)
    starts = _best_line_starts(pieces, max_width, count)
    return tuple(text_of(pieces[one:other]) for one, other in pairwise([*starts, len(pieces)]))


def text_of(pieces: Sequence[TextUnit]) -> str:
    """The pieces joined."""
    return pieces[0].text + "".join(" " + piece.text if piece.spaced else piece.text for piece in pieces[1:])


def min_lines(pieces: Sequence[TextUnit], max_width: int) -> int:
    count, filled = 1, 0
    for n, piece in enumerate(pieces):
        wider = filled + piece.spaced + piece.width if n else piece.width
        if n and wider > max_width:
            count += 1
            wider = piece.width
        filled = wider
    return count


def belongs_to_next(piece: TextUnit) -> bool:
    """Whether a piece belongs to the next one: a preposition, a very short word, or one Chinese character."""
    if piece.ends > BreakRank.PHRASE or not piece.text.isalnum():
        return False
    return piece.width <= 3 or piece.text.lower() in LINKS


def _best_line_starts(pieces: Sequence[TextUnit], max_width: int, count: int) -> list[int]:
    """First pieces of `count` lines, the minimum that fits, by dynamic programming."""
    last = len(pieces)
    columns_to = list(accumulate((piece.width + piece.spaced for piece in pieces), initial=0))
    mean = (columns_to[-1] - pieces[0].spaced - (count - 1)) / count
    cost = [0.0, *[math.inf] * last]
    used = [0] * (last + 1)
    came_from = [0] * (last + 1)
    for first in range(last):
        if cost[first] == math.inf:
            continue
        begin = columns_to[first] + pieces[first].spaced
        for end in range(first + 1, last + 1) if used[first] + 1 < count else (last,):
            line_width = columns_to[end] - begin
            if line_width > max_width and end > first + 1:
                break
            total = cost[first] + LINE_COST + UNEVEN_COST * ((line_width - mean) / max_width) ** 2
            if end < last:
                total += break_after(pieces[end - 1])
            if total < cost[end]:
                cost[end], came_from[end], used[end] = total, first, used[first] + 1
    starts, at = [], last
    while at:
        at = came_from[at]
        starts.append(at)
    return starts[::-1]


def break_after(piece: TextUnit) -> float:
    """Cost of a line break after a piece."""
    return BREAK_COSTS[piece.ends] + (CLINGING_COST if belongs_to_next(piece) else 0.0)
