"""Cuts known text into stretches that an aligner can take: at pauses, where what was heard is certain."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from steno.alignment.line_words import LineWord
from steno.alignment.occurrences import HeardToken
from steno.captions.script import needs_space
from steno.types import Word

LINE_GAP_S = 0.12
"""A pause between two lines that is a good place to cut."""
BREAK_S = 1.0
"""A pause at which a stretch is cut within a line too, and where the neighbouring words are uncertain."""
MARGIN_S = 0.3
"""Audio before the first and after the last word of a stretch."""
UNSURE_MARGIN_S = 0.8
"""The same, if the word was not heard."""
MAX_DISAGREEMENT_S = 0.35
"""An alignment is rejected if its certain words are further than this from where they were heard (median)."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the recording and its text."""

    start_s: float
    end_s: float
    words: tuple[LineWord, ...]
    text: str
    offsets: tuple[int, ...]
    """Where each word begins in `text`."""


def stretches_of(
    line_words: Sequence[LineWord], texts: Sequence[str], heard: Sequence[HeardToken], duration_s: float, max_s: float
) -> list[Stretch]:
    """The stretches of all words, in order, without overlap; none is longer than `max_s`.

    Args:
        texts: the line of each occurrence.
    """
    if not line_words:
        return []
    groups = [part for group in _groups(line_words) for part in _shortened(group, max_s - 2 * UNSURE_MARGIN_S)]
    limits = _Limits(heard, duration_s)
    between = [limits.between(one[-1], other[0]) for one, other in pairwise(groups)]
    lows = [limits.between(None, groups[0][0])[1], *(start_s for _, start_s in between)]
    highs = [*(end_s for end_s, _ in between), limits.between(groups[-1][-1], None)[0]]
    return [_stretch(group, texts, low, high, max_s) for group, low, high in zip(groups, lows, highs, strict=True)]


def aligned_words(stretch: Stretch, words: Sequence[Word]) -> list[LineWord] | None:
    """The words with the aligner's times; None if they contradict what was heard.

    `words`: of `Stretch.text`, in order; their times count from the stretch's start.
    """
    spans: list[tuple[int, int, float, float]] = []
    at = 0
    for word in words:
        found = stretch.text.find(word.text, at)
        if found < 0 or not word.text:
            continue
        at = found + len(word.text)
        spans.append((found, at, stretch.start_s + word.start_s, stretch.start_s + word.end_s))
    made: list[LineWord] = []
    n = 0
    for line_word, offset in zip(stretch.words, stretch.offsets, strict=True):
        stop = offset + line_word.end - line_word.begin
        while n < len(spans) and spans[n][1] <= offset:
            n += 1
        last = n
        while last + 1 < len(spans) and spans[last + 1][0] < stop:
            last += 1
        if n == len(spans) or spans[n][0] >= stop:
            return None
        made.append(replace(line_word, start_s=_at(offset, spans[n]), end_s=_at(stop, spans[last])))
    if _disagree(stretch.words, made):
        return None
    return [_later(one, other) for one, other in zip(stretch.words, made, strict=True)]


def _later(heard: LineWord, aligned: LineWord) -> LineWord:
    """The later of two starts of a certain word: where an aligner errs, it lets a word begin in the pause before it."""
    if heard.is_certain and aligned.start_s < heard.start_s < aligned.end_s:
        return replace(aligned, start_s=heard.start_s)
    return aligned


def _at(position: int, span: tuple[int, int, float, float]) -> float:
    begin, end, start_s, end_s = span
    return start_s + (end_s - start_s) * min(max((position - begin) / (end - begin), 0.0), 1.0)


def _disagree(heard: Sequence[LineWord], aligned: Sequence[LineWord]) -> bool:
    distances = [abs(one.start_s - other.start_s) for one, other in zip(heard, aligned, strict=True) if one.is_certain]
    return bool(distances) and median(distances) > MAX_DISAGREEMENT_S


def _groups(line_words: Sequence[LineWord]) -> Iterator[list[LineWord]]:
    group: list[LineWord] = []
    for line_word in line_words:
        if group and _is_pause(group[-1], line_word):
            yield group
            group = []
        group.append(line_word)
    yield group


def _is_pause(one: LineWord, other: LineWord) -> bool:
    gap_s = other.start_s - one.end_s
    if gap_s >= BREAK_S:
        return True
    is_line = one.occurrence != other.occurrence
    return is_line and one.ends_heard and other.starts_heard and gap_s >= LINE_GAP_S


def _shortened(group: list[LineWord], max_s: float) -> Iterator[list[LineWord]]:
    """The group, or parts of it no longer than `max_s`, cut at its longest pauses near the middle."""
    length_s = group[-1].end_s - group[0].start_s
    if length_s <= max_s or len(group) == 1:
        yield group
        return
    middle_s = (group[0].start_s + group[-1].end_s) / 2

    def merit(n: int) -> float:
        gap_s = group[n].start_s - group[n - 1].end_s
        is_heard = group[n - 1].ends_heard and group[n].starts_heard
        return gap_s + 0.2 * is_heard - abs(group[n].start_s - middle_s) / length_s

    cut = max(range(1, len(group)), key=merit)
    yield from _shortened(group[:cut], max_s)
    yield from _shortened(group[cut:], max_s)


class _Limits:
    """How far the audio of neighbouring stretches may extend towards each other."""

    def __init__(self, heard: Sequence[HeardToken], duration_s: float) -> None:
        self._heard = heard
        self._starts = [token.start_s for token in heard]
        self._duration_s = duration_s

    def between(self, one: LineWord | None, other: LineWord | None) -> tuple[float, float]:
        """The latest end of `one` and the earliest start of `other`; None = the recording's beginning or end.

        What else was heard between the two belongs to the one whose own word was not heard, or to neither.
        """
        low_s = one.end_s if one else 0.0
        high_s = other.start_s if other else self._duration_s
        middle_s = (low_s + high_s) / 2 if one and other else (high_s if one else low_s)
        first, last = bisect_left(self._starts, low_s), bisect_left(self._starts, high_s) - 1
        if first > last:
            return middle_s, middle_s
        begin_s, end_s = self._heard[first].start_s, min(self._heard[last].end_s, high_s)
        one_ended, other_starts = one is None or one.ends_heard, other is None or other.starts_heard
        if one_ended and other_starts:
            return begin_s, end_s
        if one_ended or other_starts:
            return (begin_s, begin_s) if one_ended else (end_s, end_s)
        return middle_s, middle_s


def _stretch(group: Sequence[LineWord], texts: Sequence[str], low_s: float, high_s: float, max_s: float) -> Stretch:
    start_s = max(group[0].start_s - (MARGIN_S if group[0].starts_heard else UNSURE_MARGIN_S), low_s, 0.0)
    end_s = min(group[-1].end_s + (MARGIN_S if group[-1].ends_heard else UNSURE_MARGIN_S), high_s)
    text, offsets = "", []
    for n, line_word in enumerate(group):
        own = texts[line_word.occurrence][line_word.begin : line_word.end]
        is_adjacent = n > 0 and group[n - 1].occurrence == line_word.occurrence and group[n - 1].end == line_word.begin
        if text and not is_adjacent and needs_space(text[-1], own[0]):
            text += " "
        offsets.append(len(text))
        text += own
    return Stretch(start_s, max(min(end_s, start_s + max_s), start_s), tuple(group), text, tuple(offsets))
