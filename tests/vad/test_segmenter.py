from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig
from steno.vad.levels import frame_levels
from steno.vad.segmenter import ClosedSpan, Segmenter, SegmenterEvent, SpeechOnset
from steno.vad.silero import FRAME, SileroVad
from vad.listen import recording

SMALL = SegmenterConfig(
    min_speech_ms=64, pre_roll_ms=100, silence_ms=160, cut_silence_ms=64, search_from_s=1, max_s=1.5, cut_room_s=0.5
)
"""Short enough that random sequences reach every rule."""


def frames(*runs: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(count, p, np.float32) for count, p in runs])


def heard(segmenter: Segmenter, *runs: tuple[int, float]) -> list[SegmenterEvent]:
    return segmenter.feed(frames(*runs))


def test_speech_begins_with_its_pre_roll_and_ends_after_the_silence() -> None:
    events = heard(Segmenter(), (50, 0.0), (40, 0.9), (100, 0.0))
    start = 50 * FRAME - 4800
    assert events == [
        ClosedSpan("silence", 0, start, "onset"),
        SpeechOnset(start, 50 * FRAME),
        ClosedSpan("speech", start, (90 + 16) * FRAME, "endpoint", (50 * FRAME, 90 * FRAME), 40),
    ]


def test_the_pre_roll_does_not_reach_into_the_span_before() -> None:
    events = heard(Segmenter(), (5, 0.9), (18, 0.0), (5, 0.9))
    assert events[0] == SpeechOnset(0, 0)
    assert events[1] == ClosedSpan("speech", 0, 21 * FRAME, "endpoint", (0, 5 * FRAME), 5)
    assert events[2] == SpeechOnset(21 * FRAME, 23 * FRAME)


def test_a_short_pause_does_not_end_an_utterance() -> None:
    events = heard(Segmenter(), (10, 0.9), (15, 0.0), (10, 0.9), (16, 0.0))
    assert [event for event in events if isinstance(event, ClosedSpan)] == [
        ClosedSpan("speech", 0, 51 * FRAME, "endpoint", (0, 35 * FRAME), 20)
    ]


def test_speech_is_announced_as_soon_as_it_is_sure() -> None:
    segmenter = Segmenter()
    assert heard(segmenter, (2, 0.9)) == []
    assert heard(segmenter, (1, 0.9)) == [SpeechOnset(0, 0)]


def test_flush_closes_what_is_open_and_the_stream_goes_on() -> None:
    segmenter = Segmenter()
    heard(segmenter, (10, 0.9))
    assert segmenter.flush(10 * FRAME + 100) == [ClosedSpan("speech", 0, 5220, "flush", (0, 5120), 10)]
    assert heard(segmenter, (20, 0.0)) == []
    assert segmenter.flush() == [ClosedSpan("silence", 5220, 5220 + 20 * FRAME, "flush")]
    assert segmenter.flush() == []


def test_flush_refuses_an_end_that_was_not_reached() -> None:
    segmenter = Segmenter()
    heard(segmenter, (10, 0.9))
    for end in (5119, 5120 + FRAME):
        with pytest.raises(ValueError, match="5120 samples were fed"):
            segmenter.flush(end)


def test_reset_begins_at_zero() -> None:
    segmenter = Segmenter()
    heard(segmenter, (10, 0.9), (1, 0.9))
    segmenter.reset()
    assert heard(segmenter, (5, 0.9)) == [SpeechOnset(0, 0)]


def test_a_long_utterance_is_cut_in_the_first_small_pause_after_which_speech_goes_on() -> None:
    events = heard(Segmenter(), (700, 0.9), (6, 0.1), (60, 0.9), (8, 0.1), (20, 0.9))
    cut = (700 + 6 + 60 + 5) * FRAME
    assert events[1] == ClosedSpan("speech", 0, cut, "cut", (0, 766 * FRAME), 760)
    assert events[2] == SpeechOnset(cut, 774 * FRAME)


def test_a_long_utterance_that_ends_has_ended_and_was_not_cut() -> None:
    events = heard(Segmenter(), (760, 0.9), (20, 0.1))
    assert events[1] == ClosedSpan("speech", 0, 776 * FRAME, "endpoint", (0, 760 * FRAME), 760)


def test_without_a_pause_it_is_cut_where_it_is_quietest_and_goes_on() -> None:
    probabilities = frames((1000, 0.9))
    levels = np.full(1000, -20, np.float32)
    levels[910:913] = -40
    levels[100:110] = -60
    events = Segmenter().feed(probabilities, levels)
    cut = 911 * FRAME
    assert events == [
        SpeechOnset(0, 0),
        ClosedSpan("speech", 0, cut, "cut", (0, cut), cut // FRAME),
        SpeechOnset(cut, cut),
    ]


def test_a_cut_stays_away_from_what_may_have_been_used() -> None:
    levels = np.full(1000, -20, np.float32)
    levels[800:803] = -60
    levels[920:923] = -30
    segmenter = Segmenter()
    assert segmenter.feed(frames((910, 0.9)), levels[:910]) == [SpeechOnset(0, 0)]
    assert segmenter.usable == 29 * SAMPLE_RATE
    assert segmenter.feed(frames((90, 0.9)), levels[910:])[0].end == 921 * FRAME


def test_what_may_be_used_of_a_pause_is_only_its_beginning() -> None:
    segmenter = Segmenter()
    heard(segmenter, (100, 0.9), (12, 0.0))
    assert segmenter.usable == (100 + 5) * FRAME


def test_silence_after_a_hard_cut_is_no_utterance() -> None:
    events = heard(Segmenter(), (934, 0.9), (40, 0.0))
    spans = [event for event in events if isinstance(event, ClosedSpan)]
    assert [(span.kind, span.reason) for span in spans] == [("speech", "cut"), ("silence", "endpoint")]
    assert sum(isinstance(event, SpeechOnset) for event in events) == 1


def test_long_silence_is_closed_up_to_the_pre_roll() -> None:
    segmenter = Segmenter()
    assert heard(segmenter, (940, 0.0)) == [ClosedSpan("silence", 0, 937 * FRAME - 4800, "cut")]
    assert segmenter.settled == 940 * FRAME - 4800


def test_real_speech_is_cut_at_its_long_pauses() -> None:
    audio = recording("address.opus")
    segmenter = Segmenter()
    events = segmenter.feed(SileroVad().feed(audio), frame_levels(audio)) + segmenter.flush(len(audio))
    spans = [event for event in events if isinstance(event, ClosedSpan) and event.kind == "speech"]
    assert 6 <= len(spans) <= 12
    assert any(10 < span.start / SAMPLE_RATE < 13 for span in spans)  # "Now we are engaged": after 1.3 s of silence
    for span in spans:
        before, after = audio[max(0, span.start - 1600) : span.start], audio[span.end : span.end + 1600]
        assert all(np.sqrt(np.mean(side**2)) < 0.01 for side in (before, after) if len(side))


@st.composite
def streams(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    runs = draw(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0.0, 0.2, 0.4, 0.45, 0.6, 1.0])), max_size=12))
    probabilities = frames((0, 0.0), *runs)
    noise = np.random.default_rng(draw(st.integers(0, 99)))
    return probabilities, noise.uniform(-100, -10, len(probabilities)).astype(np.float32)


@given(streams(), st.integers(0, FRAME - 1))
def test_the_spans_tile_the_stream(stream: tuple[np.ndarray, np.ndarray], rest: int) -> None:
    segmenter = Segmenter(SMALL)
    events: list[SegmenterEvent] = []
    for p, level in zip(*stream, strict=True):
        events += segmenter.feed(np.array([p]), np.array([level]))
        last = max((event.end for event in events if isinstance(event, ClosedSpan)), default=0)
        assert segmenter.settled >= last
    total = len(stream[0]) * FRAME + rest
    events += segmenter.flush(total)
    position = 0
    started: SpeechOnset | None = None
    for event in events:
        if isinstance(event, SpeechOnset):
            assert started is None
            assert event.start == position
            started = event
            continue
        assert event.start == position < event.end <= event.start + 1.5 * SAMPLE_RATE
        position = event.end
        assert (event.kind == "speech") == (event.voiced is not None) == (started is not None)
        if event.voiced:
            assert event.start <= event.voiced[0] == started.onset < event.voiced[1] <= event.end
            started = None
    assert position == total
    assert started is None


@given(streams(), st.lists(st.integers(0, 700)))
def test_any_split_of_the_frames_gives_the_same_events(stream: tuple[np.ndarray, np.ndarray], cuts: list[int]) -> None:
    probabilities, levels = stream
    whole, parted = Segmenter(SMALL), Segmenter(SMALL)
    bounds = [0, *sorted(min(cut, len(levels)) for cut in cuts), len(levels)]
    events = [e for a, b in itertools.pairwise(bounds) for e in parted.feed(probabilities[a:b], levels[a:b])]
    assert events + parted.flush() == whole.feed(probabilities, levels) + whole.flush()


@given(streams())
def test_no_span_begins_before_what_was_called_settled(stream: tuple[np.ndarray, np.ndarray]) -> None:
    segmenter, settled = Segmenter(SMALL), 0
    for p, level in zip(*stream, strict=True):
        for event in segmenter.feed(np.array([p]), np.array([level])):
            assert event.start >= settled or (isinstance(event, ClosedSpan) and event.kind == "silence")
        assert segmenter.settled >= settled
        settled = segmenter.settled


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"threshold": 0.3}, "release"),
        ({"threshold": 1.0}, "threshold"),
        ({"release": 0.0}, "release"),
        ({"search_from_s": 30.0}, "search_from_s"),
        ({"search_from_s": 0.5}, "search_from_s"),
        ({"silence_ms": 0}, "silence_ms"),
        ({"min_speech_ms": -1}, "min_speech_ms"),
        ({"pre_roll_ms": -1}, "pre_roll_ms"),
        ({"pause_s": float("nan")}, "pause_s"),
        ({"drop_after_s": 0.1}, "drop_after_s"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused_by_name(options: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        SegmenterConfig(**options)
