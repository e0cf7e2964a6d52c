"""Matches what was heard with a sheet: a global alignment, monotone in time, that may skip, insert and repeat lines.

Dynamic programming over (heard tokens, position on the sheet). From one heard token to the next, the position

    advances by a token        the two match, or one replaces the other
    stays                      the heard token is not on the sheet: an ad-lib, or an error of the recogniser
    advances unheard           tokens of the sheet are not heard
    jumps to a line's start    lines are left out, or (backwards) sung again

It is the local alignment of Smith and Waterman (J. Mol. Biol. 147, 1981) with jumps, which a song with one chorus on
its sheet and three in the recording needs. Each step costs O(sheet), so the whole costs O(heard × sheet), in numpy.
Memory stays small because only every √n-th row is kept; the rows between are computed again on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steno.alignment.tokens import weight_of

MIN_SIMILARITY = 0.55
"""Tokens that are less similar (1 − edit distance / length) do not match."""
REPLACED = -0.4
"""For a heard token that replaces another. Leaving one out and inserting the other costs more."""
INSERTED, INSERTED_BETWEEN = -0.3, -0.22
"""For a heard token that the sheet does not have, within a line and between two."""
UNHEARD = 0.35
"""Cost of a token of the sheet that is not heard, in proportion to its weight."""
UNHEARD_LINE = 1.2
"""Max cost of a line that is not heard."""
UNHEARD_OPTIONAL = 0.02
LEAVE_LINE = 1.0
"""Max cost of what is left of a line at a jump."""
FORWARD, BACK, WITHIN_SECTION = 1.5, 3.0, 0.5
"""Costs of a jump to the start of a later or earlier section, and what it costs more to a line within a section. A jump
back must be worth about four matching words, so that common phrases cause none."""

_NEVER = -1e9


@dataclass(frozen=True, slots=True)
class SheetTokens:
    """The tokens of a sheet's lines, one after the other."""

    norms: Sequence[str]
    starts: Sequence[int]
    """Position of each line's first token; increasing."""
    section_starts: frozenset[int] = frozenset()
    optional: frozenset[int] = frozenset()
    """Tokens in brackets."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A heard token and the token of the sheet that it stands for."""

    heard: int
    token: int
    score: float
    """1 = equal; 0 or less = it replaces the token."""


@dataclass(slots=True)
class Visit:
    """A part of the sheet that is sung without a jump: from position `begin` to `end`."""

    begin: int
    end: int
    pairs: list[Pair] = field(default_factory=list)


class MatchingStoppedError(Exception):
    """The caller's `should_stop` returned True."""


def match(
    heard: Sequence[str],
    sheet: SheetTokens,
    *,
    may_repeat: bool = True,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[Visit]:
    """The visits of the best path, in order of time.

    Args:
        heard: normalised tokens, in order of time.
        may_repeat: whether a path may jump backwards.
        should_stop: asked every few milliseconds.

    Raises:
        MatchingStoppedError: `should_stop` returned True.
    """
    if not heard or not sheet.norms:
        return []
    return _Matcher(heard, sheet, may_repeat, should_stop).visits()


@dataclass(frozen=True, slots=True)
class _Row:
    """How each position was reached after one heard token, before jumps and unheard tokens."""

    advanced: NDArray[np.bool_]
    """Whether the heard token advanced the position; else it was inserted."""
    jumped_from: NDArray[np.int32]
    """By line: from where a jump reached its start, −1 for none. Of the state before the heard token."""
    skipped_from: NDArray[np.int32]
    """By position: from where unheard tokens led to it. Of the state before the heard token."""


class _Matcher:
    def __init__(
        self, heard: Sequence[str], sheet: SheetTokens, may_repeat: bool, should_stop: Callable[[], bool]
    ) -> None:
        self._heard = heard
        self._size = len(sheet.norms)
        self._may_repeat = may_repeat
        self._should_stop = should_stop
        self._similar = _Similarities(sheet.norms)
        self._starts = np.asarray(sheet.starts, np.int64)
        skip = _skip_costs(sheet)
        self._skipped = np.concatenate([[0.0], np.cumsum(skip)])
        ends = np.concatenate([self._starts[1:], [self._size]])
        line_of = np.searchsorted(self._starts, np.arange(self._size + 1), "right") - 1
        left = np.append(self._skipped[ends], self._skipped[-1])[np.clip(line_of, 0, len(ends))] - self._skipped
        # A position at a line's end is the next line's start: nothing of the line before is left there.
        left[self._starts] = 0.0
        left[self._size] = 0.0
        self._leave = np.minimum(np.maximum(left, 0.0), LEAVE_LINE)
        self._enter = np.array([0.0 if start in sheet.section_starts else WITHIN_SECTION for start in sheet.starts])
        self._insert = np.full(self._size + 1, INSERTED)
        self._insert[[*sheet.starts, self._size]] = INSERTED_BETWEEN

    def visits(self) -> list[Visit]:
        block = max(math.isqrt(len(self._heard)), 1)
        state = np.full(self._size + 1, _NEVER)
        state[0] = 0.0
        kept = [state]
        for n in range(len(self._heard)):
            state = self._step(n, state)[0]
            if (n + 1) % block == 0:
                kept.append(state)
        position = int(np.argmax(state - self._leave))
        path = _Path(position)
        for first in range((len(self._heard) - 1) // block * block, -1, -block):
            rows, state = [], kept[first // block]
            for n in range(first, min(first + block, len(self._heard))):
                state, row = self._step(n, state)
                rows.append(row)
            for n, row in zip(range(first + len(rows) - 1, first - 1, -1), reversed(rows), strict=True):
                position = self._back(n, position, row, path)
        path.close(position)
        return path.visits()

    def _step(self, n: int, state: NDArray[np.float64]) -> tuple[NDArray[np.float64], _Row]:
        """The state after heard token `n`, from the state before it."""
        if n % 64 == 0 and self._should_stop():
            raise MatchingStoppedError
        state, jumped_from = self._with_jumps(state)
        state, skipped_from = self._with_skips(state)
        following = state + self._insert
        advance = state[:-1] + self._similar.scores_of(self._heard[n])
        advanced = np.zeros(self._size + 1, np.bool_)
        advanced[1:] = advance > following[1:]
        following[1:] = np.maximum(following[1:], advance)
        return following, _Row(advanced, jumped_from, skipped_from)

    def _with_jumps(self, state: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        leaving = state - self._leave
        best, best_from = _running_max(leaving)
        reached = best[self._starts] - FORWARD - self._enter
        origin = best_from[self._starts]
        if self._may_repeat:
            back, back_from = _running_max(leaving[::-1])
            back, back_from = back[::-1], self._size - back_from[::-1]
            from_behind = back[self._starts] - BACK - self._enter
            origin = np.where(from_behind > reached, back_from[self._starts], origin)
            reached = np.maximum(reached, from_behind)
        is_better = reached > state[self._starts]
        state = state.copy()
        state[self._starts] = np.maximum(state[self._starts], reached)
        return state, np.where(is_better, origin, -1).astype(np.int32)

    def _with_skips(self, state: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        best, origin = _running_max(state + self._skipped)
        return best - self._skipped, origin

    def _back(self, n: int, position: int, row: _Row, path: _Path) -> int:
        """Follow one row backwards: the position before heard token `n`."""
        if row.advanced[position]:
            position -= 1
            path.pairs.append(Pair(n, position, self._similar.score(self._heard[n], position)))
        position = int(row.skipped_from[position])
        line = int(np.searchsorted(self._starts, position))
        if line < len(self._starts) and self._starts[line] == position and row.jumped_from[line] >= 0:
            path.close(position)
            position = int(row.jumped_from[line])
            path.end = position
        return position


class _Path:
    """A path, followed from its end."""

    def __init__(self, end: int) -> None:
        self.end = end
        self.pairs: list[Pair] = []
        self._visits: list[Visit] = []

    def close(self, begin: int) -> None:
        """The present visit began at position `begin`."""
        if self.pairs or self.end > begin:
            self._visits.append(Visit(begin, self.end, self.pairs[::-1]))
        self.pairs = []

    def visits(self) -> list[Visit]:
        return self._visits[::-1]


class _Similarities:
    """Scores of heard tokens against all tokens of a sheet."""

    def __init__(self, norms: Sequence[str]) -> None:
        self._types = sorted(set(norms))
        numbers = {norm: n for n, norm in enumerate(self._types)}
        self._of_token = np.array([numbers[norm] for norm in norms])
        self._weights = np.array([weight_of(norm) for norm in self._types])
        self._known: dict[str, NDArray[np.float32]] = {}

    def scores_of(self, norm: str) -> NDArray[np.float32]:
        return np.asarray(self._of_types(norm)[self._of_token], np.float32)

    def score(self, norm: str, token: int) -> float:
        """Similarity of token and word in [0, 1], before weighting. `REPLACED` if they do not match."""
        number = self._of_token[token]
        score = float(self._of_types(norm)[number])
        return score / float(self._weights[number]) if score > 0 else score

    def _of_types(self, norm: str) -> NDArray[np.float32]:
        known = self._known.get(norm)
        if known is None:
            from rapidfuzz import process
            from rapidfuzz.distance import Levenshtein

            similarity = process.cdist(
                [norm], self._types, scorer=Levenshtein.normalized_similarity, score_cutoff=MIN_SIMILARITY
            )[0]
            scores = self._weights * (similarity - 0.4) / 0.6
            known = self._known[norm] = np.where(similarity > 0, scores, REPLACED).astype(np.float32)
        return known


def _skip_costs(sheet: SheetTokens) -> NDArray[np.float64]:
    costs = np.array([UNHEARD * weight_of(norm) for norm in sheet.norms])
    costs[list(sheet.optional)] = UNHEARD_OPTIONAL
    for begin, end in _lines(sheet):
        total = float(costs[begin:end].sum())
        if total > UNHEARD_LINE:
            costs[begin:end] *= UNHEARD_LINE / total
    return costs


def _lines(sheet: SheetTokens) -> Iterator[tuple[int, int]]:
    return zip(sheet.starts, [*sheet.starts[1:], len(sheet.norms)], strict=True)


def _running_max(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """The running maximum, and where it stands."""
    best = np.maximum.accumulate(values)
    origin = np.where(values >= best, np.arange(len(values), dtype=np.int32), 0)
    return best, np.maximum.accumulate(origin)
