"""Pieces on lines: as few as hold them, as equal as can be, broken where a reader would pause."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from steno.captions.endings import LINKS, BreakRank
from steno.captions.script import single_spaced
from steno.captions.style import CueStyle
from steno.captions.text_units import TextUnit, pieces_of

LINE = 10_000.0
"""What a line costs: more than anything else, so that there are as few as possible."""
UNEVEN = 60.0
"""What it costs if a line differs from the mean by its full width; squared, so that a little costs next to nothing."""
BREAKS = {
    BreakRank.INSIDE: 80.0,
    BreakRank.PLAIN: 14.0,
    BreakRank.PHRASE: 10.0,
    BreakRank.CLAUSE: 3.0,
    BreakRank.SENTENCE: -6.0,
}
CLINGING = 6.0
"""More for a break after a word that belongs to what follows."""


def rebreak(text: str, style: CueStyle, language: str | None = None) -> tuple[str, ...]:
    """A text that has no times of its own, a translation for example, on lines of at most `max_line_chars` columns.

    There are as few lines as hold it, of about the same width. What does not fit into `max_lines` gets more lines and
    not wider ones: a player can show a third line, but cuts or wraps a long one as it likes. No line is empty; a text
    without anything to see has no lines.
    """
    pieces = pieces_of(single_spaced(text), style.max_line_chars, language)
    return lines_of(pieces, style.max_line_chars)


def lines_of(pieces: Sequence[TextUnit], max_width: int) -> tuple[str, ...]:
    """The pieces on as few lines as hold them."""
    if not pieces:
        return ()
    count = fewest_lines(pieces, max_width)
    if count == 1:
        return (text_of(pieces),)
    begins = _best_begins(pieces, max_width, count)
    return tuple(text_of(pieces[one:other]) for one, other in pairwise([*begins, len(pieces)]))


def text_of(pieces: Sequence[TextUnit]) -> str:
    """The pieces in a row."""
    return pieces[0].text + "".join(" " + piece.text if piece.spaced else piece.text for piece in pieces[1:])


def fewest_lines(pieces: Sequence[TextUnit], max_width: int) -> int:
    count, filled = 1, 0
    for n, piece in enumerate(pieces):
        wider = filled + piece.spaced + piece.width if n else piece.width
        if n and wider > max_width:
            count += 1
            wider = piece.width
        filled = wider
    return count


def clings(piece: TextUnit) -> bool:
    """Whether it belongs to what follows: a preposition, another very short word, or one character of Chinese."""
    if piece.ends > BreakRank.PHRASE or not piece.text.isalnum():
        return False
    return piece.width <= 3 or piece.text.lower() in LINKS


def _best_begins(pieces: Sequence[TextUnit], max_width: int, count: int) -> list[int]:
    """The pieces with which `count` lines begin, where no fewer hold them, by dynamic programming."""
    last = len(pieces)
    reached = list(accumulate((piece.width + piece.spaced for piece in pieces), initial=0))
    mean = (reached[-1] - pieces[0].spaced - (count - 1)) / count
    cost = [0.0, *[math.inf] * last]
    used = [0] * (last + 1)
    came_from = [0] * (last + 1)
    for first in range(last):
        if cost[first] == math.inf:
            continue
        begin = reached[first] + pieces[first].spaced
        for end in range(first + 1, last + 1) if used[first] + 1 < count else (last,):
            wide = reached[end] - begin
            if wide > max_width and end > first + 1:
                break
            total = cost[first] + LINE + UNEVEN * ((wide - mean) / max_width) ** 2
            if end < last:
                total += break_after(pieces[end - 1])
            if total < cost[end]:
                cost[end], came_from[end], used[end] = total, first, used[first] + 1
    begins, at = [], last
    while at:
        at = came_from[at]
        begins.append(at)
    return begins[::-1]


def break_after(piece: TextUnit) -> float:
    """What a line break after a piece costs."""
    return BREAKS[piece.ends] + (CLINGING if clings(piece) else 0.0)
