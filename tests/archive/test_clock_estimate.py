"""The recording's clock for a chat."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from archive.simulated_chat import FRAME_S, Step, chat_about, track
from steno.archive.chat.chat_message import ChatMessage
from steno.archive.chat.chat_terms import chat_terms, spoken_terms
from steno.archive.chat.clock_anchors import clock_through_anchors
from steno.archive.chat.clock_estimate import MIN_CONFIDENCE, MIN_MESSAGES, estimate_clock
from steno.archive.chat.offset_path import MOVE_PENALTY, STEP_PENALTY, best_path, best_scores
from steno.archive.chat.reaction_lag import REACTION_LAGS, ReactionLag
from steno.archive.chat.recording_track import RecordingTrack
from steno.archive.chat.word_matches import match_words, without_copies
from steno.archive.manifest import ChatClock, ClockAnchor, ClockSegment
from steno.types import Word


def offset_at(clock: ChatClock, chat_s: float) -> float:
    placed = clock.recording_s(chat_s)
    assert placed is not None
    return placed - chat_s


@pytest.mark.parametrize("offset_s", [-90.0, -12.3, 0.0, 41.7, 90.0])
def test_a_constant_offset_is_found(offset_s: float) -> None:
    recording = track(1)
    estimate = estimate_clock(chat_about(recording, [Step(0, offset_s)], 2), recording)
    assert estimate.clock.confidence > MIN_CONFIDENCE
    assert estimate.clock.problem is None
    assert len(estimate.clock.segments) == 1
    assert offset_at(estimate.clock, 900.0) == pytest.approx(offset_s, abs=1.0)


@pytest.mark.parametrize("after_s", [-30.0, 55.0])
def test_a_step_is_found_with_its_place(after_s: float) -> None:
    recording = track(3)
    chat = chat_about(recording, [Step(0, 20.0), Step(800, after_s)], 4, count=600)
    clock = estimate_clock(chat, recording).clock
    assert len(clock.segments) == 2
    assert clock.segments[1].start_s == pytest.approx(800, abs=60)
    assert offset_at(clock, 300.0) == pytest.approx(20.0, abs=1.0)
    assert offset_at(clock, 1400.0) == pytest.approx(after_s, abs=1.0)


def test_the_chat_of_another_recording_is_refused_and_changes_nothing() -> None:
    for seed in range(10, 22):
        estimate = estimate_clock(chat_about(track(seed), [Step(0, 15.0)], seed), track(seed + 100))
        assert estimate.clock.segments == ()
        assert estimate.clock.problem is not None
        assert estimate.clock.problem.startswith("no clear peak")
        assert estimate.clock.recording_s(100.0) is None
        assert estimate.curve is not None


def test_too_few_messages_are_refused() -> None:
    recording = track(1)
    chat = chat_about(recording, [Step(0, 15.0)], 2)[: MIN_MESSAGES - 1]
    estimate = estimate_clock(chat, recording)
    assert estimate.clock.problem == "too few messages: 29; at least 30 are needed"
    assert estimate.curve is None


def test_loudness_alone_gives_the_offset_when_no_word_is_shared() -> None:
    random = np.random.default_rng(5)
    events = np.cumsum(random.uniform(25, 90, 60))
    duration_s = float(events[-1] + 60)
    loudness = np.full(round(duration_s / FRAME_S), -45.0)
    for event in events:
        loudness[round(event / FRAME_S) :][:16] = -20.0
    recording = RecordingTrack(duration_s, FRAME_S, np.zeros(len(loudness)), loudness, [])
    times = [event + random.uniform(3, 8) - 33.0 for event in events for _ in range(12)]
    times += list(random.uniform(0, duration_s, 300))
    chat = [ChatMessage(float(time), f"viewer{number}", "lol") for number, time in enumerate(times)]
    chat.sort(key=lambda message: message.time_s)
    clock = estimate_clock(chat, recording).clock
    assert offset_at(clock, duration_s / 2) == pytest.approx(33.0, abs=1.5)
    others = replace(recording, loudness_db=np.roll(loudness[::-1], 400))
    assert estimate_clock(chat, others).clock.segments == ()


def test_messages_far_from_the_recording_change_nothing_and_cost_no_memory() -> None:
    recording = track(1, 600.0)
    chat = chat_about(recording, [Step(0, 20.0)], 2)
    strays = [ChatMessage(float(at), "eve", "word1 haha") for at in (-8.2e8, *range(3600, 43_200, 60), 8.2e8)]
    expected = estimate_clock(chat, recording).clock
    tracemalloc.start()
    found = estimate_clock(sorted([*chat, *strays], key=lambda each: each.time_s), recording).clock
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == expected
    assert found.segments
    assert peak < 100e6
    only = estimate_clock([*chat[:20], *strays[1:]], recording).clock
    assert only.problem == "too few messages: 20 of 681 within the window; at least 30 are needed"


def test_anchors_far_apart_make_the_clock_alone() -> None:
    recording = track(1, 600.0)
    anchors = (ClockAnchor(chat_s=-8.2e8, recording_s=10.0), ClockAnchor(chat_s=100.0, recording_s=120.0))
    clock = estimate_clock(chat_about(recording, [Step(0, 20.0)], 2), recording, anchors).clock
    assert clock.method == "anchors"
    assert clock.recording_s(100.0) == pytest.approx(120.0, abs=0.01)


def test_a_clock_goes_through_its_anchors() -> None:
    recording = track(1)
    chat = chat_about(recording, [Step(0, 20.0)], 2)
    anchors = (ClockAnchor(chat_s=500.0, recording_s=520.6, by="ada"),)
    clock = estimate_clock(chat, recording, anchors).clock
    assert clock.method == "cross_correlation+anchors"
    assert clock.anchors == anchors
    assert clock.recording_s(500.0) == pytest.approx(520.6, abs=0.01)


def test_an_anchor_moves_the_window() -> None:
    recording = track(1)
    chat = chat_about(recording, [Step(0, -400.0)], 2)
    assert estimate_clock(chat, recording).clock.problem is not None
    clock = estimate_clock(chat, recording, (ClockAnchor(chat_s=900.0, recording_s=500.0),)).clock
    assert clock.confidence > MIN_CONFIDENCE
    assert clock.recording_s(1500.0) == pytest.approx(1100.0, abs=1.0)
    expected = estimate_clock(chat, recording, expected_offset_s=-390.0).clock
    assert expected.recording_s(1500.0) == pytest.approx(1100.0, abs=1.0)


def test_without_a_peak_the_clock_is_made_of_anchors_with_steps_between_those_that_disagree() -> None:
    chat = chat_about(track(1), [Step(0, 20.0)], 2)
    anchors = tuple(
        ClockAnchor(chat_s=at, recording_s=placed) for at, placed in [(1200.0, 1250.0), (100.0, 110.0), (800.0, 810.1)]
    )
    clock = estimate_clock(chat, track(50), anchors).clock
    assert clock.method == "anchors"
    assert clock.confidence < MIN_CONFIDENCE
    assert [segment.start_s for segment in clock.segments] == [0.0, 1000.0]
    assert [clock.recording_s(anchor.chat_s) for anchor in sorted(anchors, key=lambda each: each.chat_s)] == [
        pytest.approx(placed, abs=0.1) for placed in (110.0, 810.1, 1250.0)
    ]


def test_anchors_move_their_own_segment_of_a_known_clock_and_divide_it_where_they_disagree() -> None:
    known = ChatClock(
        method="cross_correlation",
        confidence=0.9,
        segments=(ClockSegment(start_s=0, offset_s=10), ClockSegment(start_s=1000, offset_s=-20, drift_ppm=100.0)),
    )
    one = clock_through_anchors(known, [ClockAnchor(chat_s=500, recording_s=512)])
    assert (one.method, one.confidence) == ("cross_correlation+anchors", 0.9)
    assert [segment.offset_s for segment in one.segments] == [12, -20]
    two = clock_through_anchors(
        one, [ClockAnchor(chat_s=3000, recording_s=3030), ClockAnchor(chat_s=2000, recording_s=1981)]
    )
    assert two.method == "cross_correlation+anchors"
    assert [segment.start_s for segment in two.segments] == [0, 1000, 2500]
    assert [two.recording_s(at) for at in (500.0, 2000.0, 3000.0)] == [512.0, pytest.approx(1981), pytest.approx(3030)]
    alone = clock_through_anchors(None, [ClockAnchor(chat_s=500, recording_s=512)])
    assert (alone.method, alone.recording_s(0.0)) == ("anchors", 12.0)


def test_the_curve_has_its_peak_at_the_offset_and_is_json() -> None:
    recording = track(1)
    estimate = estimate_clock(chat_about(recording, [Step(0, 20.0)], 2), recording)
    assert estimate.curve is not None
    curve = json.loads(json.dumps(estimate.curve.as_json()))
    assert curve["offsets_s"][int(np.argmax(curve["whole"]))] == pytest.approx(20.0, abs=2.0)
    assert curve["score"] > max(curve["surrogates"])
    assert len(curve["by_segment"]) == 1


def test_the_estimate_does_not_depend_on_chance() -> None:
    recording = track(1)
    chat = chat_about(recording, [Step(0, 20.0), Step(900, -5.0)], 2)
    assert estimate_clock(chat, recording).clock == estimate_clock(chat, recording).clock


def test_a_path_takes_a_step_only_when_it_gains_the_penalty() -> None:
    def scores(gain: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        made = np.zeros((8, 30))
        made[:4, 5] = made[4:, 20] = gain
        return made

    path, total = best_path(scores(STEP_PENALTY / 4 + 0.1))
    assert path.tolist() == [5] * 4 + [20] * 4
    assert total == pytest.approx(8 * (STEP_PENALTY / 4 + 0.1) - STEP_PENALTY)
    path, _ = best_path(scores(STEP_PENALTY / 4 - 0.1))
    assert len(set(path.tolist())) == 1
    assert best_scores(np.stack([scores(10.0), scores(1.0)])).tolist() == [80.0 - STEP_PENALTY, 4.0]


def test_a_path_follows_drift_by_small_moves() -> None:
    scores = np.zeros((6, 10))
    scores[:3, 4] = scores[3:, 5] = MOVE_PENALTY
    path, total = best_path(scores)
    assert path.tolist() == [4, 4, 4, 5, 5, 5]
    assert total == pytest.approx(5 * MOVE_PENALTY)


@pytest.mark.parametrize("lag", REACTION_LAGS)
def test_lags_are_densities(lag: ReactionLag) -> None:
    assert float(lag.bins(0.5).sum() * 0.5) == pytest.approx(1.0, abs=1e-3)
    assert lag.density(np.array([-1.0, 1.9, 12.1])).tolist() == [0.0, 0.0, 0.0]


def test_copypasta_and_an_authors_repeats_are_one_witness() -> None:
    recording = replace(track(1), words=[Word("rocket", 50.0, 50.5)])
    chat = [ChatMessage(60.0 + number, f"viewer{number}", "rocket to the moon") for number in range(9)]
    assert len(list(without_copies(chat))) == 2
    assert len(match_words(chat, recording).chat_s) == 2
    repeats = [ChatMessage(60.0 + number, "ada", f"rocket {number}") for number in range(9)]
    assert len(match_words(repeats, recording).chat_s) == 1


def test_terms_are_words_numbers_abbreviations_and_pairs_of_characters() -> None:
    assert chat_terms("GG, it's 3!", "en") == {"gg", "good game", "it's", "3", "three"}
    assert chat_terms("3", "de") == {"3", "drei"}
    assert chat_terms("3", "xx") == {"3"}
    assert chat_terms("天气好") == {"天气", "气好"}
    words = [Word("Good", 1.0, 1.2), Word("game.", 1.2, 1.6), Word("天", 2.0, 2.1), Word("气", 2.1, 2.3)]
    assert list(spoken_terms(words)) == [
        ("good", 1.2),
        ("game", 1.6),
        ("good game", 1.6),
        ("e天", 2.1),
        ("天气", 2.3),
    ]


def test_the_duration_is_that_of_the_recording_whatever_the_frames_cover() -> None:
    activity, loudness = RecordingTrack(10.0, 0.5, np.ones(8), np.full(8, -20.0), []).in_bins(1.0)
    assert activity.tolist() == [1.0] * 4 + [0.0] * 6
    assert loudness.tolist() == [-20.0] * 10
