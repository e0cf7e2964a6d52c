from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.audio.timeline import MAX_GAP_S, MAX_SILENCE_S, Timeline


def silences(origin_s: float | None, *starts_s: float | None) -> list[float]:
    timeline = Timeline(origin_s)
    return [round(timeline.silence_before(start_s, 1.0), 6) for start_s in starts_s]


def test_frames_that_follow_each_other_need_no_silence() -> None:
    assert silences(0, 0, 1, 2) == [0, 0, 0]


def test_zero_is_where_the_earliest_track_begins() -> None:
    assert silences(100, 102, 103) == [2, 0]
    assert silences(102, 102, 103) == [0, 0]
    assert silences(None, 102, 103) == [0, 0]


def test_jitter_is_not_filled_but_a_gap_is() -> None:
    assert silences(0, 0.05, 1.0, 2.09, 3.5) == [0, 0, 0, 0.5]


def test_drift_is_filled_when_it_has_become_a_gap() -> None:
    assert silences(0, 0, 1.04, 2.08, 3.12, 4.16) == [0, 0, 0, 0.12, 0]


def test_a_clock_that_was_set_back_goes_on_from_there() -> None:
    assert silences(0, 0, 1, 0, 1, 2.5) == [0, 0, 0, 0, 0.5]


def test_a_frame_without_a_time_follows_the_one_before() -> None:
    assert silences(0, None, None, 4) == [0, 0, 2]


def test_a_gap_of_hours_is_not_believed() -> None:
    timeline = Timeline(0)
    timeline.silence_before(0, 1)
    assert timeline.silence_before(MAX_GAP_S + 2, 1) == 0
    assert timeline.silence_before(MAX_GAP_S + 3.5, 1) == pytest.approx(0.5)
    assert timeline.jumps == 1


def test_many_gaps_together_are_not_believed_either() -> None:
    timeline = Timeline(0)
    filled = [timeline.silence_before(start_s, 1.0) for start_s in range(0, 50_000, 500)]
    assert sum(filled) == 7 * 499
    assert timeline.jumps == 92


@given(st.lists(st.one_of(st.none(), st.floats(-1e12, 1e12)), max_size=60), st.one_of(st.none(), st.floats(-1e9, 1e9)))
def test_no_timestamps_make_more_silence_than_the_limit(starts_s: list[float | None], origin_s: float | None) -> None:
    timeline = Timeline(origin_s)
    filled = [timeline.silence_before(start_s, 0.02) for start_s in starts_s]
    assert all(0 <= silence <= MAX_GAP_S for silence in filled)
    assert sum(filled) <= MAX_SILENCE_S
