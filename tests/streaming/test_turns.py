"""Turn ends that are judged, and finals that are recognised before it is known that they are final."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from steno.errors import BackendError
from steno.streaming.events import Final, Partial, Silence, SpeechEnded, SpeechResumed, TurnJudged
from steno.streaming.session import Session
from steno.streaming.session_config import SessionConfig
from steno.streaming.step_request import StepRequest
from steno.types import SAMPLE_RATE, Hypothesis
from steno.vad.config import SegmenterConfig
from steno.vad.silero import FRAME
from streaming.streams import Stream, assert_tiled, audio_of, heard_in
from streaming.test_session_properties import SIZES, STRETCHES, Client

SMART = SessionConfig(
    SegmenterConfig(turn_checks_ms=(200, 1000), max_silence_ms=3000, search_from_s=8.0, max_s=10.0), speculate_ms=96
)
SHORT = SessionConfig(
    SegmenterConfig(turn_checks_ms=(96, 320), max_silence_ms=800, search_from_s=3.0, max_s=4.0), speculate_ms=64
)
JUDGEMENTS = st.lists(st.sampled_from([True, False, None]), max_size=12)


class JudgedStream(Stream):
    """A stream whose pauses are judged in turn by `judgements`; those after the last are unknown."""

    def __init__(self, judgements: list[bool | None], config: SessionConfig = SMART) -> None:
        super().__init__(config)
        self.judgements = iter(judgements)
        self.judged_s: list[float] = []

    def hear(self, audio: np.ndarray) -> None:
        super().hear(audio)
        while (pause := self.session.pause) is not None:
            self.judged_s.append(round(len(pause.audio) / SAMPLE_RATE, 3))
            self.recognise()
            self.events += self.session.judge(next(self.judgements, None))


def said(judgements: list[bool | None], *stretches: tuple[str, float]) -> JudgedStream:
    stream = JudgedStream(judgements)
    stream.run(audio_of(*stretches), [1600])
    return stream


def ends_of(stream: JudgedStream) -> list[float]:
    return [round(event.end_s, 3) for event in stream.events if isinstance(event, SpeechEnded)]


def test_a_complete_utterance_ends_in_the_pause_in_which_it_was_judged() -> None:
    stream = said([True], ("speech", 2.048), ("silence", 0.4))
    assert ends_of(stream) == [2.272]
    assert [final.text for final in stream.finals] == ["w0 w1 w2 w3"]
    assert stream.finals[0].reason == "endpoint"


def test_an_incomplete_one_goes_on_after_a_pause_longer_than_the_silence() -> None:
    stream = said([False, False], ("speech", 2.048), ("silence", 1.184), ("speech", 1.024), ("silence", 0.6))
    assert ends_of(stream) == [4.768]
    assert stream.judged_s == [2.272, 3.072, 4.48]


def test_an_incomplete_one_ends_after_the_longest_silence() -> None:
    stream = said([False, False], ("speech", 2.048), ("silence", 4.0))
    assert ends_of(stream) == [5.056]


def test_one_that_is_not_judged_in_time_ends_after_the_usual_silence() -> None:
    stream = said([None], ("speech", 2.048), ("silence", 4.0))
    assert ends_of(stream) == [2.56]
    assert stream.judged_s == [2.272]


def test_an_incomplete_one_may_be_complete_after_more_of_the_pause() -> None:
    stream = said([False, True], ("speech", 2.048), ("silence", 4.0))
    assert ends_of(stream) == [3.072]


def test_judgements_are_told_and_that_speech_goes_on_after_one() -> None:
    stream = said(
        [False, False, None, True], ("speech", 2.048), ("silence", 1.184), ("speech", 1.024), ("silence", 2.0)
    )
    told = [event for event in stream.events if isinstance(event, TurnJudged | SpeechResumed | SpeechEnded)]
    assert [(type(event).__name__, event.segment_id) for event in told] == [
        ("TurnJudged", 0), ("TurnJudged", 0), ("SpeechResumed", 0), ("SpeechEnded", 0),
    ]  # fmt: skip
    judged = [(round(event.at_s, 3), event.probability) for event in told if isinstance(event, TurnJudged)]
    assert judged == [(2.272, 0.0), (3.072, 0.0)]
    resumed_s = next(event.at_s for event in told if isinstance(event, SpeechResumed))
    assert 3.232 <= resumed_s <= 3.4


def test_the_speculative_final_is_the_final_if_nothing_more_is_said() -> None:
    stream = said([False, False], ("speech", 2.048), ("silence", 4.0))
    finals = [step for step in stream.steps if step.final]
    assert [(step.speculative, step.end) for step in finals] == [(True, 67 * FRAME)]
    assert [final.text for final in stream.finals] == ["w0 w1 w2 w3"]


def test_a_final_that_was_not_recognised_in_advance_hears_the_same_audio() -> None:
    audio = audio_of(("speech", 2.048), ("silence", 4.0))
    stream = JudgedStream([None])
    stream.session.due = lambda step_s=None: Session.due(stream.session, step_s, speculates=False)  # type: ignore[method-assign]
    stream.run(audio, [1600])
    (final,) = [step for step in stream.steps if step.final]
    assert (final.speculative, final.end) == (False, 67 * FRAME)


def test_a_speculative_final_is_not_wanted_once_speech_goes_on() -> None:
    session = Session(SMART)
    steps = _fed(session, ("speech", 2.048), ("silence", 0.16))
    (speculation,) = [step for step in steps if step.final]
    assert session.wants(speculation)
    _fed(session, ("speech", 0.16))
    assert not session.wants(speculation)
    assert session.apply(speculation, Hypothesis("it was", "en")) == []


def test_the_text_of_a_pause_is_a_partial_until_it_is_a_final() -> None:
    session = Session(SMART)
    (*_, speculation) = _fed(session, ("speech", 2.048), ("silence", 0.16))
    (partial,) = session.apply(speculation, Hypothesis("it was", "en"))
    assert isinstance(partial, Partial)
    assert partial.text == "it was"


def test_a_speculative_final_that_fails_is_recognised_again() -> None:
    session = Session(SMART)
    (*_, speculation) = _fed(session, ("speech", 2.048), ("silence", 0.16))
    assert session.fail(speculation, BackendError("it failed")) == []
    assert _fed(session, ("silence", 0.04)) == []
    assert _fed(session, ("silence", 0.04)) == []
    session.judge(True)
    (final,) = session.due()
    assert (final.final, final.speculative, final.end) == (True, False, speculation.end)


@pytest.mark.parametrize("act", ["flush", "finish", "assume_silence"])
def test_what_ends_the_segment_in_a_pause_takes_its_speculative_final(act: str) -> None:
    session = Session(SMART)
    (*_, speculation) = _fed(session, ("speech", 2.048), ("silence", 0.16))
    session.apply(speculation, Hypothesis("it was", "en"))
    events = session.assume_silence(1.0) if act == "assume_silence" else getattr(session, act)()
    assert [event.text for event in events if isinstance(event, Final)] == ["it was"]
    assert session.due() == []


def _fed(session: Session, *stretches: tuple[str, float]) -> list[StepRequest]:
    stream = Stream()
    stream.session = session
    stream.hear(audio_of(*stretches))
    return session.due()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(STRETCHES, SIZES, JUDGEMENTS)
def test_any_split_of_the_audio_gives_the_same_finals(
    stretches: list[tuple[str, float]], sizes: list[int], judgements: list[bool | None]
) -> None:
    audio = audio_of(*stretches)
    whole, split = (JudgedStream(judgements, SHORT) for _ in range(2))
    for stream, parts in ((whole, [len(audio)]), (split, sizes)):
        stream.run(audio, parts)
        stream.end()
    assert split.finals == whole.finals
    assert split.judged_s == whole.judged_s
    assert_tiled(split.tiles(), 0.0, len(audio) / SAMPLE_RATE)


class JudgedClient(Client):
    """As its parent, with judgements at any time or never, and finals that are recognised in advance."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(SHORT)

    @precondition(lambda self: self.session.pause is not None)
    @rule(is_complete=st.sampled_from([True, False, None]))
    def judge(self, is_complete: bool | None) -> None:
        self.take(self.session.judge(is_complete))

    @rule(smart=st.booleans())
    def change_turn_detection(self, smart: bool) -> None:
        self.take(self.session.configure(SHORT if smart else SessionConfig(SegmenterConfig(search_from_s=3, max_s=4))))

    @rule()
    def mute(self) -> None:
        self.take(self.session.assume_silence(0.5))


TestJudgedClient = JudgedClient.TestCase
TestJudgedClient.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)


def test_the_silence_after_a_judged_end_is_silence() -> None:
    stream = said([True], ("speech", 2.048), ("silence", 1.0), ("speech", 1.024), ("silence", 0.6))
    stream.end()
    kinds = [type(event) for event in stream.events if isinstance(event, Final | Silence)]
    assert kinds == [Final, Silence, Final, Silence]
    assert heard_in(stream.steps[-1]).text.startswith(stream.finals[-1].text)
