"""The global alignment: against a plain reference, and on songs that are sung otherwise than written."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.alignment import matching
from steno.alignment.matching import MatchingStoppedError, Pair, SheetTokens, Visit, match
from steno.alignment.tokens import weight_of

WORDS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima"]


def sheet(*lines: str, sections: Sequence[int] = ()) -> SheetTokens:
    norms = [norm for line in lines for norm in line.split()]
    starts = [0, *itertools.accumulate(len(line.split()) for line in lines[:-1])]
    return SheetTokens(norms, starts, frozenset(starts[n] for n in sections))


def spans(visits: Sequence[Visit]) -> list[tuple[int, int]]:
    return [(visit.begin, visit.end) for visit in visits]


def pairs(visits: Sequence[Visit]) -> list[tuple[int, int]]:
    return [(pair.heard, pair.token) for visit in visits for pair in visit.pairs]


def test_equal_texts_match_in_one_visit() -> None:
    visits = match(WORDS, sheet(" ".join(WORDS[:5]), " ".join(WORDS[5:])))
    assert spans(visits) == [(0, 12)]
    assert pairs(visits) == [(n, n) for n in range(12)]


def test_a_chorus_that_is_written_once_is_found_each_time() -> None:
    verses, chorus = ["alpha bravo charlie delta", "echo foxtrot golf hotel"], "india juliett kilo lima mike"
    written = sheet(verses[0], chorus, verses[1], sections=(0, 1, 2))
    sung = f"{verses[0]} {chorus} {verses[1]} {chorus} {chorus}".split()
    assert spans(match(sung, written)) == [(0, 13), (4, 9), (4, 9)]
    assert spans(match(sung, written, may_repeat=False)) == [(0, 13)], "what is sung again is left over"


def test_a_line_that_is_not_sung_and_a_line_that_is_not_written_are_left_out() -> None:
    visits = match(
        ["alpha", "bravo", "charlie", "some", "other", "words", "golf", "hotel", "india"],
        sheet("alpha bravo charlie", "delta echo foxtrot", "golf hotel india"),
    )
    found = [(pair.heard, pair.token) for visit in visits for pair in visit.pairs if pair.score > 0]
    assert found == [(0, 0), (1, 1), (2, 2), (6, 6), (7, 7), (8, 8)]


def test_similar_words_match_and_others_replace() -> None:
    visits = match(["alpha", "bravos", "quebec", "delta"], sheet("alpha bravo charlie delta"))
    assert [pair.token for pair in visits[0].pairs] == [0, 1, 2, 3]
    assert [round(pair.score, 2) for pair in visits[0].pairs] == [1.0, 0.72, matching.REPLACED, 1.0]


def test_nothing_heard_or_written_matches_nothing() -> None:
    assert match([], sheet("alpha")) == []
    assert match(["alpha"], SheetTokens([], [])) == []


def test_it_stops_when_asked() -> None:
    with pytest.raises(MatchingStoppedError):
        match(WORDS, sheet("alpha bravo"), should_stop=lambda: True)


@st.composite
def songs(draw: st.DrawFn) -> tuple[list[str], SheetTokens, bool]:
    word = st.sampled_from(["a", "bb", "bc", "ccc", "ddd", "ddx"])
    lines = draw(st.lists(st.lists(word, min_size=1, max_size=3), min_size=1, max_size=3))
    sections = draw(st.sets(st.integers(0, len(lines) - 1)))
    heard = draw(st.lists(word, min_size=1, max_size=7))
    return heard, sheet(*(" ".join(line) for line in lines), sections=sorted(sections)), draw(st.booleans())


@given(songs())
def test_the_path_is_as_good_as_the_best_of_a_plain_search(song: tuple[list[str], SheetTokens, bool]) -> None:
    heard, written, may_repeat = song
    visits = match(heard, written, may_repeat=may_repeat)
    assert score_of(visits, heard, written) == pytest.approx(best_score(heard, written, may_repeat), abs=1e-4)


@given(songs())
def test_paths_are_monotone(song: tuple[list[str], SheetTokens, bool]) -> None:
    heard, written, may_repeat = song
    visits = match(heard, written, may_repeat=may_repeat)
    found = pairs(visits)
    assert [n for n, _ in found] == sorted({n for n, _ in found})
    for visit in visits:
        tokens = [pair.token for pair in visit.pairs]
        assert tokens == sorted(set(tokens))
        assert all(visit.begin <= token < visit.end for token in tokens)
    if not may_repeat:
        assert all(one.end <= other.begin for one, other in itertools.pairwise(visits))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_sections_are_found_in_any_order_and_number(order: list[int], rng: object) -> None:
    """With two errors in a section of eight words: one replaced, one left out."""
    rng = np.random.default_rng(rng.randrange(2**31))  # type: ignore[attr-defined]
    letters = iter(np.random.default_rng(7).permuted(np.tile(list("abcdefghijklmnopqrstuvwx"), (32, 1)), axis=1))
    sections = [["".join(next(letters)[:6]) for _ in range(8)] for _ in range(4)]
    written = sheet(*(" ".join(section) for section in sections), sections=range(4))
    sung: list[str] = []
    truth: list[list[int]] = []
    for n in order:
        wrong, left_out = rng.choice(range(1, 7), 2, replace=False)
        truth.append([8 * n + k for k in range(8) if k not in (wrong, left_out)])
        sung += ["zzzzzz" if k == wrong else word for k, word in enumerate(sections[n]) if k != left_out]
    found = [pair for visit in match(sung, written) for pair in visit.pairs if pair.score == 1]
    assert [pair.token for pair in found] == [token for tokens in truth for token in tokens]


def score_of(visits: Sequence[Visit], heard: Sequence[str], written: SheetTokens) -> float:
    """Of a path, with what was inserted at the best place between two pairs."""
    costs = _Costs(written)
    score, position, inserted_from = 0.0, 0, 0
    insert = [costs.insert(0)]
    for visit in visits:
        if visit.begin != position:
            score -= costs.jump(position, visit.begin)
            insert = [*insert, costs.insert(visit.begin)]
            position = visit.begin
        for pair in visit.pairs:
            score -= costs.skipped(position, pair.token)
            insert += [costs.insert(p) for p in range(position, pair.token + 1)]
            score += (pair.heard - inserted_from) * max(insert) + costs.pair(heard[pair.heard], pair.token)
            position, inserted_from = pair.token + 1, pair.heard + 1
            insert = [costs.insert(position)]
        score -= costs.skipped(position, visit.end)
        insert += [costs.insert(p) for p in range(position, visit.end + 1)]
        position = visit.end
    return score + (len(heard) - inserted_from) * max(insert) - costs.leave(position)


def best_score(heard: Sequence[str], written: SheetTokens, may_repeat: bool) -> float:
    """By plain loops over all positions, jumps and skips."""
    costs, size = _Costs(written), len(written.norms)
    state = [0.0] + [-np.inf] * size
    for norm in heard:
        jumped = list(state)
        for to in written.starts:
            for start in range(size + 1):
                if start != to and (may_repeat or start < to):
                    jumped[to] = max(jumped[to], state[start] - costs.jump(start, to))
        skipped = [max(jumped[k] - costs.skipped(k, p) for k in range(p + 1)) for p in range(size + 1)]
        state = [skipped[p] + costs.insert(p) for p in range(size + 1)]
        for p in range(size):
            state[p + 1] = max(state[p + 1], skipped[p] + costs.pair(norm, p))
    return max(state[p] - costs.leave(p) for p in range(size + 1))


class _Costs:
    def __init__(self, written: SheetTokens) -> None:
        self._written = written
        self._size = len(written.norms)
        self._skip = [matching.UNHEARD * weight_of(norm) for norm in written.norms]
        for begin, end in zip(written.starts, [*written.starts[1:], self._size], strict=True):
            total = sum(self._skip[begin:end])
            if total > matching.UNHEARD_LINE:
                self._skip[begin:end] = [cost * matching.UNHEARD_LINE / total for cost in self._skip[begin:end]]
        self._similar = matching._Similarities(written.norms)

    def skipped(self, begin: int, end: int) -> float:
        return sum(self._skip[begin:end])

    def insert(self, position: int) -> float:
        is_between = position in self._written.starts or position == self._size
        return matching.INSERTED_BETWEEN if is_between else matching.INSERTED

    def leave(self, position: int) -> float:
        if position in self._written.starts:
            return 0.0
        end = min(start for start in [*self._written.starts, self._size] if start >= position)
        return min(self.skipped(position, end), matching.LEAVE_LINE)

    def jump(self, position: int, to: int) -> float:
        enter = 0.0 if to in self._written.section_starts else matching.WITHIN_SECTION
        return self.leave(position) + (matching.FORWARD if to > position else matching.BACK) + enter

    def pair(self, norm: str, token: int) -> float:
        return float(self._similar.scores_of(norm)[token])


def test_long_texts_take_seconds_not_minutes() -> None:
    """Ten minutes of speech: 1,500 words; two minutes of them are said twice."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(list("abcdefghijklmnop"), rng.integers(2, 8))) for _ in range(1500)]
    written = sheet(*(" ".join(words[n : n + 10]) for n in range(0, 1500, 10)))
    visits = match([*words, *words[300:600]], written)
    assert spans(visits) == [(0, 1500), (300, 600)]
    assert visits[1].pairs[0] == Pair(1500, 300, 1.0)
