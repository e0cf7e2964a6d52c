"""Times of a line's words from what was heard of it. Words that were not heard are placed between those that were.

A word has its punctuation; in scripts without spaces, a character is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from steno.alignment.occurrences import HeardToken, LineTokens, Occurrence
from steno.alignment.sheet import SheetLine
from steno.alignment.tokens import Token
from steno.captions.script import kind

LETTER_S = 0.075
"""Duration of a letter in English speech, where nothing was heard to measure it by."""
CERTAIN = 0.9
"""Min score of a pair whose time is trusted."""
ADJACENT_S = 0.05
"""Two words are adjacent if no more than this is between them."""
DOUBLED_RATE = 0.6
"""See `_is_doubled`: time per letter, in relation to the line's."""
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class LineWord:
    """A word of an occurrence and its time."""

    occurrence: int
    """Index of the occurrence."""
    begin: int
    end: int
    """Characters of the line's text."""
    letters: int
    start_s: float
    end_s: float
    starts_heard: bool
    """Whether its beginning was heard; else `start_s` is estimated. `ends_heard`: the same of its end."""
    ends_heard: bool
    score: float | None = None
    """Mean score of its tokens, in [0, 1]; None if none was heard."""

    @property
    def is_certain(self) -> bool:
        return self.starts_heard and (self.score or 0.0) >= CERTAIN


def line_words_of(
    occurrences: Sequence[Occurrence],
    lines: Sequence[SheetLine],
    tokens: Sequence[LineTokens],
    heard: Sequence[HeardToken],
    duration_s: float,
) -> list[LineWord]:
    """The words of all occurrences, in order, without overlap, within [0, `duration_s`].

    Words in brackets that were not heard are left out.
    """
    line_words: list[LineWord] = []
    matched = {pair.heard for occurrence in occurrences for pair in occurrence.pairs}
    for number, occurrence in enumerate(occurrences):
        own = list(_heard_words(number, occurrence, lines[occurrence.line].text, tokens[occurrence.line], heard))
        if own and own[0].starts_heard and _is_doubled(occurrence.heard, heard, matched):
            own[0] = replace(own[0], starts_heard=False)
        line_words += own
    spans = [
        (heard[occurrence.heard.start].start_s, heard[occurrence.heard.stop - 1].end_s) if occurrence.heard else None
        for occurrence in occurrences
    ]
    return list(_filled(line_words, spans, _letter_s(line_words), duration_s))


def word_ranges(text: str, tokens: Sequence[Token]) -> list[tuple[int, int, list[int]]]:
    """Begin, end and tokens of each word of a line."""
    ranges: list[tuple[int, int, list[int]]] = []
    at = 0
    for word in _WORD.finditer(text):
        own: list[int] = []
        while at < len(tokens) and tokens[at].begin < word.end():
            own.append(at)
            at += 1
        if own:
            ranges += _divided(text, tokens, own, word.start(), word.end())
        elif ranges:  # a dash belongs to the word before it
            begin, _, before = ranges[-1]
            ranges[-1] = (begin, word.end(), before)
    return ranges


def _divided(
    text: str, tokens: Sequence[Token], own: Sequence[int], begin: int, end: int
) -> Iterator[tuple[int, int, list[int]]]:
    """A run without spaces, divided before and after each character of a script without spaces."""
    groups: list[list[int]] = []
    for n in own:
        is_divided = groups and (_unspaced(text, tokens[n]) or _unspaced(text, tokens[groups[-1][-1]]))
        if not groups or is_divided:
            groups.append([n])
        else:
            groups[-1].append(n)
    starts = [begin, *(tokens[group[0]].begin for group in groups[1:]), end]
    yield from zip(starts[:-1], starts[1:], groups, strict=True)


def _unspaced(text: str, token: Token) -> bool:
    char = kind(text[token.begin])
    return char.ideographic or char.south_east_asian


def _heard_words(
    number: int, occurrence: Occurrence, text: str, line: LineTokens, heard: Sequence[HeardToken]
) -> Iterator[LineWord]:
    pairs = {pair.token: pair for pair in occurrence.pairs}
    for begin, end, own in word_ranges(text, line.tokens):
        if not any(n in line.required or (n in pairs and pairs[n].score > 0) for n in own):
            continue
        known = [pairs[n] for n in own if n in pairs]
        yield LineWord(
            number,
            begin,
            end,
            letters=max(sum(len(line.tokens[n].norm) for n in own), 1),
            start_s=heard[known[0].heard].start_s if known else 0.0,
            end_s=heard[known[-1].heard].end_s if known else 0.0,
            starts_heard=own[0] in pairs and heard[pairs[own[0]].heard].is_timed,
            ends_heard=own[-1] in pairs and heard[pairs[own[-1]].heard].is_timed,
            score=sum(max(pair.score, 0.0) for pair in known) / len(own) if known else None,
        )


def _is_doubled(line: range, heard: Sequence[HeardToken], matched: AbstractSet[int]) -> bool:
    """Whether other words were heard right before the line, much faster than the line itself.

    Speech is never so fast: the recogniser made words twice of the line's beginning, so its start is not certain.
    """
    first = line.start
    while first and first - 1 not in matched and heard[first].start_s - heard[first - 1].end_s <= ADJACENT_S:
        first -= 1
    own_s, before_s = (_letter_s_of([heard[n] for n in part]) for part in (line, range(first, line.start)))
    return first < line.start and before_s < DOUBLED_RATE * own_s


def _letter_s_of(tokens: Sequence[HeardToken]) -> float:
    letters = sum(len(token.norm) for token in tokens)
    return (tokens[-1].end_s - tokens[0].start_s) / letters if letters else 0.0


def _letter_s(line_words: Sequence[LineWord]) -> float:
    measured = [
        (line_word.end_s - line_word.start_s) / line_word.letters for line_word in line_words if line_word.is_certain
    ]
    return median(measured) if len(measured) >= 10 else LETTER_S


def _filled(
    line_words: Sequence[LineWord], spans: Sequence[tuple[float, float] | None], letter_s: float, duration_s: float
) -> Iterator[LineWord]:
    """The words, with times for those that were not heard, in the space between those that were.

    Args:
        spans: where each occurrence was heard.
    """
    known = [n for n, line_word in enumerate(line_words) if line_word.score is not None]
    done_s = 0.0
    for before, after in pairwise([-1, *known, len(line_words)]):
        following = line_words[after] if after < len(line_words) else None
        limit_s = max(following.start_s if following else duration_s, done_s)
        run = line_words[before + 1 : after]
        if run:
            preceding = line_words[before] if before >= 0 else None
            yield from _placed(run, preceding, following, (done_s, limit_s), spans[run[0].occurrence], letter_s)
        if following:
            end_s = max(following.end_s, limit_s)
            yield replace(following, start_s=limit_s, end_s=end_s)
            done_s = end_s


def _placed(
    run: Sequence[LineWord],
    before: LineWord | None,
    after: LineWord | None,
    space: tuple[float, float],
    span: tuple[float, float] | None,
    letter_s: float,
) -> Iterator[LineWord]:
    """A run of unheard words with times: those of the line before follow it, those of the line after precede it, and
    those of lines between the two are where something else was heard (`span`)."""
    low, high = space
    if before and after and before.occurrence == after.occurrence:
        yield from _in_turn(run, low, high)
        return
    tail = [line_word for line_word in run if before and line_word.occurrence == before.occurrence]
    lead = [line_word for line_word in run if after and line_word.occurrence == after.occurrence]
    middle = run[len(tail) : len(run) - len(lead)]
    letters = sum(line_word.letters for line_word in (*tail, *lead))
    each_s = min(letter_s, (high - low) / letters) if letters else 0.0
    tail_end = low + each_s * sum(line_word.letters for line_word in tail)
    lead_start = max(high - each_s * sum(line_word.letters for line_word in lead), tail_end)
    yield from _in_turn(tail, low, tail_end)
    if middle:
        first, last = span or (tail_end, lead_start)
        begin = min(max(first, tail_end), lead_start)
        yield from _in_turn(middle, begin, min(max(last, begin), lead_start))
    yield from _in_turn(lead, lead_start, high)


def _in_turn(run: Sequence[LineWord], start_s: float, end_s: float) -> Iterator[LineWord]:
    """The words between two times, each in proportion to its letters."""
    total, done = sum(line_word.letters for line_word in run), 0
    for line_word in run:
        begin_s = start_s + (end_s - start_s) * done / total
        done += line_word.letters
        yield replace(line_word, start_s=begin_s, end_s=start_s + (end_s - start_s) * done / total)
