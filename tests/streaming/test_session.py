from typing import get_args

import numpy as np
import pytest

from held_memory import held_bytes
from steno.errors import BackendError
from steno.streaming.audio_buffer import AudioBuffer
from steno.streaming.events import (
    AssumedSilence,
    AudioProgress,
    Event,
    Final,
    Partial,
    Silence,
    SpeechEnded,
    SpeechStarted,
)
from steno.streaming.session import Session
from steno.streaming.session_config import SessionConfig
from steno.streaming.step_request import StepRequest
from steno.types import SAMPLE_RATE, Hypothesis, Word
from steno.vad.config import SegmenterConfig
from streaming.streams import Stream, assert_tiled, audio_of

TENTH = SAMPLE_RATE // 10


def test_speech_becomes_partials_and_one_final_between_silences() -> None:
    stream = Stream()
    stream.run(audio_of(("silence", 1), ("speech", 2), ("silence", 2)), [TENTH])
    stream.end()
    kinds = [type(event) for event in stream.events if not isinstance(event, AudioProgress)]
    assert kinds == [SpeechStarted, Silence, *[Partial] * 5, SpeechEnded, Final, Silence]
    (final,) = stream.finals
    assert (final.start_s, final.end_s) == pytest.approx((0.7, 3.5), abs=0.04)
    assert final.spoken == pytest.approx((1.0, 3.0), abs=0.04)
    assert (final.text, final.reason, final.language) == ("w0 w1 w2 w3 w4", "endpoint", "en")


def test_the_first_partial_is_due_less_than_a_step_after_the_first_sound() -> None:
    stream = Stream()
    stream.run(audio_of(("silence", 1), ("speech", 0.4)), [TENTH])
    first = next(event for event in stream.events if isinstance(event, Partial))
    assert first.end_s < 1.0 + 0.48


def test_partials_stop_in_silence() -> None:
    stream = Stream(SessionConfig(SegmenterConfig(silence_ms=5000)))
    stream.run(audio_of(("speech", 1), ("silence", 4)), [TENTH])
    assert stream.of(Partial)[-1].end_s < 1.6  # type: ignore[union-attr]


def test_silence_and_speech_tile_the_audio() -> None:
    stream = Stream()
    audio = audio_of(("silence", 40), ("speech", 70), ("silence", 1), ("speech", 3.123))
    stream.run(audio, [777])
    stream.end()
    assert_tiled(stream.tiles(), 0.0, len(audio) / SAMPLE_RATE)


def test_times_go_on_from_the_offset() -> None:
    stream = Stream(SessionConfig(offset_s=100.0))
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    stream.end()
    assert_tiled(stream.tiles(), 100.0, 102.0)


def test_words_are_on_the_streams_clock() -> None:
    def heard(_: StepRequest) -> Hypothesis:
        return Hypothesis("ask not", "en", (Word("ask", 0.3, 0.6), Word("not", 0.6, 99.0)))

    stream = Stream(SessionConfig(offset_s=100.0), recognise=heard)
    stream.run(audio_of(("silence", 1), ("speech", 1), ("silence", 1)), [TENTH])
    (final,) = stream.finals
    ask, not_ = final.words
    assert (ask.start_s, ask.end_s, not_.start_s) == pytest.approx((101.0, 101.3, 101.3), abs=0.04)
    assert not_.end_s == final.end_s


def test_long_speech_is_cut_where_no_step_has_looked() -> None:
    stream = Stream()
    stream.run(audio_of(("speech", 65)), [TENTH])
    stream.end()
    finals = stream.finals
    assert [final.reason for final in finals] == ["cut", "cut", "close"]
    for final in finals[:2]:
        assert 24 <= final.end_s - final.start_s <= 30
        seen = max(step.end for step in stream.steps if step.segment_id == final.segment_id and not step.final)
        assert final.start_s + 28 < seen / SAMPLE_RATE <= final.start_s + 29 <= final.end_s


def test_a_flush_ends_the_segment_and_the_stream_goes_on() -> None:
    stream = Stream()
    stream.run(audio_of(("speech", 1.01)), [TENTH])
    stream.events += stream.session.flush()
    stream.recognise()
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    assert [final.reason for final in stream.finals] == ["flush", "endpoint"]
    assert stream.finals[0].end_s == pytest.approx(1.01)
    assert stream.finals[1].start_s == pytest.approx(1.01, abs=0.04)


def test_a_flush_in_silence_gives_an_empty_final_without_length() -> None:
    stream = Stream()
    stream.run(audio_of(("silence", 1)), [TENTH])
    stream.events += stream.session.flush()
    assert [(final.text, final.reason, final.start_s, final.end_s) for final in stream.finals] == [("", "flush", 1, 1)]


def test_a_flush_counts_from_where_it_was_called_though_the_vad_is_behind() -> None:
    stream = Stream()
    frames = stream.session.feed(audio_of(("speech", 1.0)))
    assert stream.session.flush() == []
    more = stream.session.feed(audio_of(("speech", 1.0)))
    ones = np.ones(len(frames) + len(more), np.float32)
    stream.events += stream.session.observe(ones, ones)
    stream.recognise()
    stream.end()
    assert [(final.end_s, final.reason) for final in stream.finals] == [(1.0, "flush"), (2.0, "close")]


def test_a_reset_discards_what_is_being_spoken_and_keeps_what_has_ended() -> None:
    stream = Stream()
    stream.run(audio_of(("speech", 1)), [TENTH])
    stream.hear(audio_of(("silence", 1)))  # its final is due, and not recognised yet
    stream.hear(audio_of(("speech", 1)))
    stream.events += stream.session.reset()
    stream.recognise()
    stream.run(audio_of(("silence", 1)), [TENTH])
    stream.end()
    (final,) = stream.finals
    assert (final.segment_id, final.reason) == (0, "endpoint")
    assert any(event.discarded for event in stream.of(Silence))  # type: ignore[union-attr]
    assert_tiled(stream.tiles(), 0.0, 4.0)


def test_a_late_result_of_a_discarded_segment_falls_away() -> None:
    stream = Stream()
    stream.hear(audio_of(("speech", 1)))
    (step,) = stream.session.due()
    stream.session.reset()
    assert stream.session.apply(step, Hypothesis("late", "en")) == []
    assert stream.session.fail(step, BackendError("late")) == []


def test_an_older_partial_that_comes_after_a_newer_one_changes_nothing() -> None:
    stream = Stream()
    stream.hear(audio_of(("speech", 1)))
    (first,) = stream.session.due()
    stream.hear(audio_of(("speech", 1)))
    (second,) = stream.session.due()
    assert len(stream.session.apply(second, Hypothesis("newer", "en"))) == 1
    assert stream.session.apply(first, Hypothesis("older", "en")) == []


def test_finals_are_told_in_order_though_they_come_out_of_order() -> None:
    stream = Stream()
    stream.hear(audio_of(("speech", 1), ("silence", 1), ("speech", 1), ("silence", 1)))
    first, second = stream.session.due()
    assert stream.session.apply(second, Hypothesis("second", "en")) == []
    told = stream.session.apply(first, Hypothesis("first", "en"))
    assert [event.text for event in told if isinstance(event, Final)] == ["first", "second"]


def test_the_next_segments_partial_waits_for_the_final_before_it() -> None:
    stream = Stream()
    stream.hear(audio_of(("speech", 1), ("silence", 1), ("speech", 1)))
    (final,) = stream.session.due()
    assert final.final
    stream.events += stream.session.apply(final, Hypothesis("first", "en"))
    (partial,) = stream.session.due()
    assert not partial.final


def test_a_final_that_could_not_be_recognised_has_what_was_stable_and_says_why() -> None:
    stream = Stream(SessionConfig(hold_s=0.5))
    stream.run(audio_of(("speech", 3)), [TENTH])
    stable = [event.stable for event in stream.events if isinstance(event, Partial)][-1]
    stream.hear(audio_of(("silence", 1)))
    stream.recognise(fails=True)
    (final,) = stream.finals
    assert stable
    assert final.text == stable
    assert isinstance(final.error, BackendError)


def test_without_endpointing_only_the_client_and_the_longest_length_end_a_segment() -> None:
    stream = Stream(SessionConfig(SegmenterConfig(silence_ms=3_600_000)))
    stream.run(audio_of(("speech", 1), ("silence", 3), ("speech", 1), ("silence", 3)), [TENTH])
    assert stream.finals == []
    stream.events += stream.session.flush()
    stream.recognise()
    assert [final.reason for final in stream.finals] == ["flush"]


def test_other_options_hold_from_here_on() -> None:
    stream = Stream(SessionConfig(SegmenterConfig(silence_ms=3_600_000)))
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    stream.events += stream.session.configure(SessionConfig(SegmenterConfig(silence_ms=500), offset_s=9))
    stream.run(audio_of(("silence", 1)), [TENTH])
    (final,) = stream.finals
    assert (final.reason, final.start_s) == ("endpoint", 0.0)


def test_how_far_behind_the_text_is() -> None:
    stream = Stream()
    stream.run(audio_of(("silence", 3)), [TENTH])
    assert stream.session.behind_s < 0.2
    stream.hear(audio_of(("speech", 5)))
    assert stream.session.behind_s > 5
    stream.recognise()
    assert stream.session.behind_s < 0.2


def test_an_assumed_silence_ends_the_segment_where_the_audio_does() -> None:
    stream = Stream()
    stream.run(audio_of(("speech", 1.01)), [TENTH])
    stream.events += stream.session.assume_silence(0.5)
    stream.recognise()
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    stream.end()
    first, second = stream.finals
    assert (first.start_s, first.end_s, first.reason) == (0.0, 1.01, "endpoint")
    assert second.start_s == 1.01
    assert_tiled(stream.tiles(), 0.0, 3.01)
    assert stream.of(AssumedSilence) == [AssumedSilence(1.01, 0.5)]


def test_where_nobody_speaks_an_assumed_silence_changes_nothing() -> None:
    stream = Stream()
    stream.run(audio_of(("silence", 1)), [TENTH])
    assert stream.session.assume_silence(0.5) == [AssumedSilence(1.0, 0.5)]
    assert stream.finals == []


def test_a_session_that_has_told_everything_is_settled() -> None:
    stream = Stream()
    stream.hear(audio_of(("speech", 1)))
    assert not stream.session.settled
    stream.events += stream.session.finish()
    assert not stream.session.settled
    stream.recognise()
    assert stream.session.settled


def test_nothing_is_kept_of_hours_of_silence() -> None:
    stream = Stream()
    for _ in range(360):
        stream.hear(audio_of(("silence", 10)))
    assert held_bytes(stream.session) < 80 * SAMPLE_RATE * 4


def test_every_event_is_one_of_the_union() -> None:
    stream = Stream()
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    assert all(isinstance(event, get_args(Event)) for event in stream.events)


@pytest.mark.parametrize("loud", [120, 121, 122, 123])
@pytest.mark.parametrize("quiet", [0, 2, 4])
@pytest.mark.parametrize("again", [1, 2])
@pytest.mark.parametrize("wish", ["flush", "reset"])
def test_a_wish_that_comes_where_a_segment_is_about_to_be_cut_is_fulfilled_once(
    loud: int, quiet: int, again: int, wish: str
) -> None:
    """With frames on which the VAD's gate has not decided yet."""
    stream = Stream(SessionConfig(SegmenterConfig(search_from_s=3, max_s=4)))
    frames = np.concatenate([np.full(loud, 0.9), np.full(quiet, 0.0), np.full(again, 0.9)]).astype(np.float32)
    stream.session.feed(np.zeros(len(frames) * 512, np.float32))
    stream.events += stream.session.observe(frames, np.full(len(frames), -20, np.float32))
    stream.events += stream.session.flush() if wish == "flush" else stream.session.reset()
    stream.recognise()
    stream.end()
    assert [final.reason for final in stream.finals].count("flush") == (wish == "flush")
    assert_tiled(stream.tiles(), 0.0, len(frames) * 512 / SAMPLE_RATE)


@pytest.mark.parametrize("silence_s", [3.0, 3.3, 3.6, 3.9, 40.0])
def test_more_pre_roll_than_was_kept_begins_where_the_audio_does(silence_s: float) -> None:
    stream = Stream(SessionConfig(SegmenterConfig(pre_roll_ms=0)))
    stream.run(audio_of(("silence", silence_s)), [TENTH])
    stream.events += stream.session.configure(SessionConfig(SegmenterConfig(pre_roll_ms=500)))
    stream.run(audio_of(("speech", 1), ("silence", 1)), [TENTH])
    stream.end()
    (final,) = [step for step in stream.steps if step.final]
    assert len(final.audio) >= 1.4 * SAMPLE_RATE
    assert_tiled(stream.tiles(), 0.0, round((silence_s + 2) * SAMPLE_RATE) / SAMPLE_RATE)


def test_a_tape_does_not_give_what_it_has_forgotten() -> None:
    tape = AudioBuffer()
    tape.append(np.zeros(5 * SAMPLE_RATE, np.float32))
    tape.forget_before(3 * SAMPLE_RATE)
    for start, end in ((0, 4 * SAMPLE_RATE), (4 * SAMPLE_RATE, 6 * SAMPLE_RATE)):
        with pytest.raises(IndexError, match="the buffer holds samples 48000 to 80000"):
            tape.between(start, end)


def test_a_reset_without_audio_shows_that_it_is_done() -> None:
    session = Session()
    assert session.reset() == [Silence(0.0, 0.0, discarded=True)]
