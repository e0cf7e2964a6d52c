"""Repairing word times."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.captions.clock import TimedText, ms, repair

Times = list[tuple[int, int]]


def repaired(times: Times, end_ms: int | None = None, size: int = 5) -> Times:
    spans = [TimedText(size, start, end) for start, end in times]
    repair(spans, end_ms)
    return [(span.start_ms, span.end_ms) for span in spans]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        pytest.param([(0, 300), (300, 500), (900, 1200)], [(0, 300), (300, 500), (900, 1200)], id="good times stay"),
        pytest.param([(0, 400), (300, 500)], [(0, 300), (300, 500)], id="an overlap is cut"),
        pytest.param([(0, 300), (300, 300), (300, 700)], [(0, 300), (300, 500), (500, 700)], id="same start is shared"),
        pytest.param([(0, 900), (0, 900), (0, 900)], [(0, 300), (300, 600), (600, 900)], id="all at once are shared"),
        pytest.param([(100, 100), (900, 1000)], [(100, 400), (900, 1000)], id="no duration gets 60 ms a character"),
        pytest.param([(100, 100), (200, 300)], [(100, 200), (200, 300)], id="but ends before the next"),
        pytest.param(
            [(0, 300), (90_000, 90_100), (600, 800)], [(0, 300), (300, 600), (600, 800)], id="a stray is led home"
        ),
        pytest.param(
            [(90_000, 90_100), (0, 300), (600, 800)], [(0, 150), (150, 300), (600, 800)], id="a stray at the start"
        ),
        pytest.param([(500, 300), (700, 900)], [(500, 700), (700, 900)], id="an end before its start"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_times_are_repaired_and_no_more(times: Times, expected: Times) -> None:
    assert repaired(times) == expected


def test_words_beyond_the_end_of_the_audio_are_pulled_into_it() -> None:
    assert repaired([(0, 500), (2000, 2500), (3000, 3100)], end_ms=1000) == [(0, 500), (990, 995), (995, 1000)]


def test_audio_that_is_too_short_for_its_text_is_taken_to_be_a_millisecond_a_character() -> None:
    assert repaired([(0, 500), (2000, 2500)], end_ms=3) == [(0, 5), (5, 10)]


@given(
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=30),
    st.one_of(st.none(), st.integers(0, 6000)),
    st.integers(1, 9),
)
def test_repaired_times_rise_do_not_overlap_and_stay_inside(times: Times, end_ms: int | None, size: int) -> None:
    after = repaired(times, end_ms, size)
    assert all(start + size <= end for start, end in after)
    assert all(one[1] <= other[0] for one, other in pairwise(after))
    if end_ms is not None and after:
        assert after[-1][1] <= max(end_ms, size * len(times))
    assert repaired(after, end_ms, size) == after


def test_what_is_no_time_becomes_one() -> None:
    assert [ms(1.2345), ms(-3.0), ms(float("nan")), ms(float("-inf"))] == [1234, 0, 0, 0]
    assert ms(float("inf")) == ms(1e300) == 360_000_000_000
