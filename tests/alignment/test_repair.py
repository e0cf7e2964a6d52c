from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.alignment.repair import MIN_WORD_S, repair_times

times = st.floats(-1, 12, allow_nan=False)


@given(st.lists(st.tuples(times, times), max_size=40), st.floats(0.0, 10.0))
def test_words_come_in_order_without_overlap_within_the_audio(
    spans: list[tuple[float, float]], duration_s: float
) -> None:
    mended = repair_times(spans, duration_s)
    assert len(mended) == len(spans)
    flat = [at for span in mended for at in span]
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(flat))
    assert all(-1e-9 <= at <= duration_s + 1e-9 for at in flat)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30))
def test_words_that_are_piled_up_share_the_room(moments: list[float]) -> None:
    spans = [(at, at) for at in sorted(moments)]
    assert all(end - start >= MIN_WORD_S / 8 for start, end in repair_times(spans, 10.0))


def test_good_times_stay() -> None:
    spans = [(0.0, 0.4), (0.48, 0.8), (0.8, 1.6)]
    assert repair_times(spans, 2.0) == spans


def test_a_word_without_length_gets_the_gap_it_stands_in() -> None:
    assert repair_times([(0.0, 0.4), (0.8, 0.8), (1.2, 1.6)], 2.0)[1] == pytest.approx((0.72, 0.88))


def test_without_a_gap_its_neighbours_give_some_of_theirs() -> None:
    first, middle, last = repair_times([(0.0, 0.8), (0.8, 0.8), (0.8, 1.6)], 1.6)
    assert middle[1] - middle[0] >= MIN_WORD_S - 1e-9
    assert first[1] == pytest.approx(middle[0])
    assert last[0] == pytest.approx(middle[1])
