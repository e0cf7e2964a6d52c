"""Deepgram Flux: frames in, commands out; events in, messages out. What its SDK makes of them is tested beside."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_facts import ENGLISH, server_facts
from steno.errors import BackendError, DrainingError, InvalidRequestError, NotAudioError
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import Draining, Failed, Lagging
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Configure,
    Flush,
    Handshake,
    Message,
    Reply,
    ServerFacts,
)
from steno.server.live.dialects.flux import FluxDialect, FluxFactory
from steno.streaming.events import Final, Partial, Reason, Silence, SpeechResumed, SpeechStarted, TurnJudged
from steno.types import Word

RAW = {"model": "flux-general-multi", "encoding": "linear16", "sample_rate": "16000"}


def connected(*query: tuple[str, str], facts: ServerFacts | None = None, **options: str) -> FluxDialect:
    asked = Handshake([*query, *{**RAW, **options}.items()], {}, ())
    return FluxFactory().open(asked, facts or server_facts(served=("base-model",)))


def replies(dialect: FluxDialect, message: object) -> list[Message]:
    return [command.message for command in dialect.receive(json.dumps(message)) if isinstance(command, Reply)]


def partial_of(text: str, end_s: float = 1.0, stable: str = "") -> Partial:
    return Partial(0, 0.2, end_s, stable, text)


def final_of(text: str, reason: Reason = "endpoint", start_s: float = 0.2, end_s: float = 2.0, **more: Any) -> Final:
    return Final(0, start_s, end_s, text, reason, **more)


def events(dialect: FluxDialect, *encoded: Any) -> list[tuple[str, int, str]]:
    """Event, turn and transcript of each `TurnInfo`."""
    messages = [message for event in encoded for message in dialect.encode(event)]
    return [(each["event"], each["turn_index"], each["transcript"]) for each in messages if each["type"] == "TurnInfo"]


# --- the query ---


def test_the_query_is_read() -> None:
    dialect = connected(("keyterm", "steno"), ("keyterm", "Qwen"), ("language_hint", "de"), eot_timeout_ms="3000")
    options = dialect.options
    assert (options.encoding, options.sample_rate, options.language) == ("pcm_s16le", 16_000, "de")
    assert options.hotwords == ("steno", "Qwen")
    assert options.words


def test_the_english_model_fixes_the_language_and_several_hints_leave_it_open() -> None:
    assert connected(model="flux-general-en").options.language == "en"
    assert connected(("language_hint", "de"), ("language_hint", "fr")).options.language is None


def test_audio_in_a_container_needs_no_format() -> None:
    asked = Handshake([("model", "flux-general-en")], {}, ())
    assert FluxFactory().open(asked, server_facts(served=("base-model",))).options.encoding == "webm"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"eot_threshold": "0.4"}, "eot_threshold"),
        ({"eot_threshold": "much"}, "eot_threshold"),
        ({"eot_threshold": "-1"}, "eot_threshold"),
        ({"eager_eot_threshold": "0.95"}, "eager_eot_threshold"),
        ({"eager_eot_threshold": "0.8"}, "eager_eot_threshold"),  # above the other's default
        ({"eot_timeout_ms": "100"}, "eot_timeout_ms"),
        ({"eot_timeout_ms": "1e5"}, "eot_timeout_ms"),
        ({"eot_threshold": ""}, "eot_threshold"),
        ({"eot_threshold": "."}, "eot_threshold"),
        ({"encoding": "flac"}, "encoding"),
        ({"model": "nova-3"}, "model"),
        ({"redact": "numbers"}, "redact"),
        ({"numerals": "true"}, "numerals"),
        ({"diarize": "true"}, "diarize"),
        ({"diarize_model": "latest"}, "diarize_model"),
        ({"dance": "true"}, "dance"),
        ({"language_hint": "tlh"}, "language_hint"),
        ({"model": "flux-general-en", "language_hint": "de"}, "language_hint"),
        ({"mip_opt_out": "perhaps"}, "mip_opt_out"),
    ],
)
def test_what_is_wrong_or_not_supported_is_refused_by_name(options: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        connected(**options)
    assert refused.value.param == param
    assert param in FluxFactory().refusal(refused.value, "id")["err_msg"]


@pytest.mark.parametrize("model", ["nova-3", "base-model", ""])
def test_only_flux_models_are_taken_also_where_the_server_takes_other_names(model: str) -> None:
    with pytest.raises(InvalidRequestError, match="flux-general-en") as refused:
        connected(model=model, facts=server_facts(served=("base-model", "nova-3", "")))
    assert refused.value.param == "model"
    assert connected(model="flux-general-multi", facts=server_facts(served=("base-model",))).options.language is None


def test_speakers_may_be_switched_off() -> None:
    assert connected(diarize="false").options == connected().options


def test_hints_that_the_recogniser_does_not_use_are_named() -> None:
    assert connected(keyterm="steno", facts=server_facts(ENGLISH)).ignored == ["keyterm"]


# --- turns ---


def test_a_turn_starts_with_its_first_text_and_ends_with_its_last() -> None:
    dialect = connected()
    assert events(
        dialect,
        SpeechStarted(0, 0.2, 0.5),
        partial_of(""),
        partial_of("so"),
        partial_of("so it", 1.5),
        final_of("so it is"),
        Silence(2.0, 3.0),
        final_of("yes", start_s=3.0, end_s=3.5),
    ) == [
        ("StartOfTurn", 0, "so"),
        ("Update", 0, "so it"),
        ("EndOfTurn", 0, "so it is"),
        ("StartOfTurn", 1, "yes"),
        ("EndOfTurn", 1, "yes"),
    ]


def test_noise_without_text_is_no_turn() -> None:
    dialect = connected()
    assert events(dialect, SpeechStarted(0, 0.2, 0.5), final_of("")) == []
    (start, _) = dialect.encode(final_of("yes", start_s=3.0, end_s=3.5))
    assert (start["turn_index"], start["audio_window_start"]) == (0, 3.0)


def test_a_turn_goes_on_over_segments_that_were_cut() -> None:
    dialect = connected()
    assert events(
        dialect,
        partial_of("one"),
        final_of("one two", "cut"),
        Partial(1, 2.0, 3.0, "", "three"),
        final_of("three four", start_s=2.0, end_s=4.0),
    ) == [
        ("StartOfTurn", 0, "one"),
        ("Update", 0, "one two"),
        ("Update", 0, "one two three"),
        ("EndOfTurn", 0, "one two three four"),
    ]


def test_a_turn_does_not_start_with_a_cut_segment_that_has_no_text() -> None:
    dialect = connected()
    assert events(dialect, final_of("", "cut", end_s=30.0)) == []
    (start,) = dialect.encode(Partial(1, 30.0, 31.0, "", "yes"))
    assert start["audio_window_start"] == 30.0


def test_a_turn_that_ends_in_silence_after_a_cut_has_its_text() -> None:
    assert events(connected(), final_of("one two", "cut"), final_of("", start_s=2.0)) == [
        ("StartOfTurn", 0, "one two"),
        ("EndOfTurn", 0, "one two"),
    ]


@pytest.mark.parametrize(("reason", "trigger"), [("endpoint", "timeout"), ("flush", "manual"), ("close", "manual")])
def test_the_end_of_a_turn_says_what_ended_it(reason: Reason, trigger: str) -> None:
    start, end = connected().encode(final_of("yes", reason))
    assert "trigger" not in start
    assert (end["trigger"], end["end_of_turn_confidence"]) == (trigger, 0.0)


def test_a_turn_that_was_judged_complete_was_ended_by_the_model() -> None:
    dialect = connected(eot_threshold="0.6")
    dialect.encode(partial_of("so it is"))
    assert dialect.encode(TurnJudged(0, 1.7, 0.75)) == []
    (end,) = dialect.encode(final_of("so it is"))
    assert (end["trigger"], end["end_of_turn_confidence"]) == ("model", 0.75)


def test_a_judgement_of_the_next_segment_is_not_that_of_the_last() -> None:
    """It is known at once; the final of a segment comes when it has been recognised."""
    dialect = connected(eager_eot_threshold="0.5")
    happened = [partial_of("so"), TurnJudged(1, 9.0, 0.9), final_of("so it is"), Partial(1, 8.0, 9.0, "", "yes")]
    assert [event for event, *_ in events(dialect, *happened)] == [
        "StartOfTurn", "EndOfTurn", "StartOfTurn", "EagerEndOfTurn",
    ]  # fmt: skip


def test_a_turn_keeps_its_start_if_its_speech_began_before_the_last_final_was_known() -> None:
    dialect = connected()
    happened = [
        partial_of("so"),
        SpeechStarted(1, 2.5, 2.8),
        final_of("so it is"),
        Partial(1, 2.5, 4.0, "", "yes"),
        Final(1, 2.5, 5.0, "yes we", "endpoint"),
    ]
    windows = [
        (each["event"], each["audio_window_start"], each["audio_window_end"])
        for event in happened
        for each in dialect.encode(event)
    ]
    assert windows == [
        ("StartOfTurn", 0.2, 1.0),
        ("EndOfTurn", 0.2, 2.0),
        ("StartOfTurn", 2.5, 4.0),
        ("EndOfTurn", 2.5, 5.0),
    ]


def test_speech_that_goes_on_in_the_next_segment_does_not_resume_the_turn_before() -> None:
    dialect = connected(eager_eot_threshold="0.4")
    happened = [partial_of("so"), TurnJudged(0, 1.2, 0.5), TurnJudged(1, 3.0, 0.5), SpeechResumed(1, 3.2)]
    assert [event for event, *_ in events(dialect, *happened, final_of("so it is"))] == [
        "StartOfTurn", "EagerEndOfTurn", "EndOfTurn",
    ]  # fmt: skip


def test_a_turn_that_has_probably_ended_is_told_early_and_taken_back() -> None:
    dialect = connected(eager_eot_threshold="0.4")
    assert events(
        dialect,
        partial_of("so it"),
        TurnJudged(0, 1.2, 0.3),
        TurnJudged(0, 2.0, 0.5),
        TurnJudged(0, 3.0, 0.6),
        SpeechResumed(0, 3.1),
        partial_of("so it is", 3.5),
        TurnJudged(0, 3.7, 0.65),
        final_of("so it is"),
    ) == [
        ("StartOfTurn", 0, "so it"),
        ("EagerEndOfTurn", 0, "so it"),
        ("TurnResumed", 0, "so it"),
        ("Update", 0, "so it is"),
        ("EagerEndOfTurn", 0, "so it is"),
        ("EndOfTurn", 0, "so it is"),
    ]


def test_without_an_eager_threshold_nothing_is_told_early() -> None:
    happened = [partial_of("so it"), TurnJudged(0, 1.2, 0.6), SpeechResumed(0, 1.4), final_of("so it is")]
    assert [event for event, *_ in events(connected(), *happened)] == ["StartOfTurn", "EndOfTurn"]


def test_a_turn_whose_text_was_taken_back_ends_empty() -> None:
    """The client knows that it has begun, and waits for its end."""
    assert events(connected(), partial_of("so"), final_of(""), partial_of("yes")) == [
        ("StartOfTurn", 0, "so"),
        ("EndOfTurn", 0, ""),
        ("StartOfTurn", 1, "yes"),
    ]


def test_thresholds_become_options_of_turn_detection() -> None:
    options = connected(eot_threshold="0.8", eot_timeout_ms="2000").options
    assert (options.turn_detection, options.turn_threshold, options.max_silence_ms) == ("smart", 0.8, 2000)
    never = connected(eot_threshold="1.0", eager_eot_threshold="0.5").options
    assert (never.turn_detection, never.turn_threshold) == ("smart", 1.0)
    manual = connected(eot_threshold="1.0", eot_timeout_ms="60000").options
    assert (manual.turn_detection, manual.silence_ms) == ("silence", 60_000)


def test_a_turn_has_its_words_with_times_and_the_range_of_its_audio() -> None:
    words = (Word("So", 0.5, 0.75, 0.5), Word("it", 0.75, 1.0))
    (update, end) = connected().encode(final_of("So it", words=words))
    assert end["words"] == [
        {"word": "So", "confidence": 0.5, "start": 0.5, "end": 0.75},
        {"word": "it", "confidence": 1.0, "start": 0.75, "end": 1.0},
    ]
    assert (end["audio_window_start"], end["audio_window_end"]) == (0.2, 2.0)
    assert [word["word"] for word in update["words"]] == ["So", "it"]


def test_a_turn_has_its_languages_by_their_words_and_the_hints() -> None:
    dialect = connected(("language_hint", "de"), ("language_hint", "fr"))
    dialect.encode(final_of("guten Tag", "cut", language="de"))
    (update,) = dialect.encode(Partial(1, 2.0, 3.0, "", "je suis ici", "fr"))
    assert (update["languages"], update["languages_hinted"]) == (["fr", "de"], ["de", "fr"])
    (start, _) = connected(("language_hint", "en"), model="flux-general-en").encode(final_of("yes", language="en"))
    assert "languages" not in start
    assert start["languages_hinted"] == ["en"]
    assert "languages_hinted" not in connected().encode(final_of("yes"))[0]


def test_words_without_times_get_estimated_ones() -> None:
    (start,) = connected().encode(partial_of("so it is", 1.7))
    times = [time for word in start["words"] for time in (word["start"], word["end"])]
    assert [word["word"] for word in start["words"]] == ["so", "it", "is"]
    assert times == sorted(times)
    assert 0.2 <= times[0] <= times[-1] <= 1.7


def test_messages_are_numbered_in_the_order_in_which_they_are_sent() -> None:
    dialect = connected()
    reply = replies(dialect, {"type": "Configure"})
    messages = [*dialect.greeting(), *dialect.encode(final_of("yes")), *reply]
    sent = [dialect.outgoing(message) for message in messages]
    assert [message["sequence_id"] for message in sent] == [0, 1, 2, 3]
    assert {message["request_id"] for message in sent} == {"session"}


def test_failures_are_warnings_while_the_session_goes_on_and_an_error_at_its_end() -> None:
    dialect = connected()
    (failed, *turn) = dialect.encode(final_of("yes", error=BackendError("no")))
    assert (failed["type"], failed["code"]) == ("Warning", "BACKEND_ERROR")
    assert [each["event"] for each in turn] == ["StartOfTurn", "EndOfTurn"]
    for event in (Failed(NotAudioError("what is that")), Draining(DrainingError("soon", retry_after_s=1))):
        (message,) = dialect.encode(event)
        assert (message["type"], message["description"]) == ("Warning", event.error.message)
    (last,) = dialect.complaint(DrainingError("now", retry_after_s=1))
    assert (last["type"], last["code"], last["description"]) == ("Error", "DRAINING", "now")
    assert dialect.encode(Lagging(2.0, 1.1)) == []
    assert dialect.farewell(1.0) == []


# --- what the client sends ---


def test_frames_are_commands() -> None:
    dialect = connected()
    assert dialect.receive(b"\1\2") == [AudioInput(b"\1\2")]
    assert dialect.receive(b"") == []
    assert dialect.receive('{"type": "ForceEndTurn"}') == [Flush()]
    assert dialect.receive('{"type": "CloseStream"}') == [Close()]


@pytest.mark.parametrize("frame", ["", "[]", "{", '"x"', '{"type": "KeepAlive"}', '{"type": 1}'])
def test_other_messages_are_warnings(frame: str) -> None:
    (command,) = connected().receive(frame)
    assert isinstance(command, Reply)
    assert command.is_complaint
    assert (command.message["type"], command.message["code"]) == ("Warning", "MALFORMED_MESSAGE")


def test_configure_changes_what_it_has_and_answers_with_all() -> None:
    dialect = connected(keyterm="old", eot_threshold="0.8")
    changed, reply = dialect.receive(
        json.dumps({"type": "Configure", "keyterms": ["new"], "thresholds": {"eager_eot_threshold": 0.5}})
    )
    assert isinstance(changed, Configure)
    assert isinstance(reply, Reply)
    assert changed.options.hotwords == ("new",)
    assert reply.message == {
        "type": "ConfigureSuccess",
        "thresholds": {"eot_threshold": 0.8, "eager_eot_threshold": 0.5, "eot_timeout_ms": 5000},
        "keyterms": ["new"],
    }
    (_, hinted) = dialect.receive(json.dumps({"type": "Configure", "language_hints": ["fr"]}))
    assert isinstance(hinted, Reply)
    assert hinted.message["language_hints"] == ["fr"]
    assert dialect.options.language == "fr"
    assert dialect.options.hotwords == ("new",)


@pytest.mark.parametrize("value", [0.1 * 7, 0.699999988079071, ".7", "0.70"])
def test_thresholds_are_numbers_as_clients_write_them(value: float | str) -> None:
    (success,) = replies(connected(), {"type": "Configure", "thresholds": {"eot_threshold": value}})
    assert success["thresholds"]["eot_threshold"] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "message",
    [
        {"thresholds": {"eot_threshold": 2}},
        {"thresholds": {"eot_threshold": 10**400}},
        {"thresholds": {"eot_threshold": float("nan")}},
        {"thresholds": {"eot_threshold": True}},
        {"thresholds": {"patience": 1}},
        {"thresholds": []},
        {"keyterms": [1]},
        {"keyterms": {"a": 1}},
        {"language_hints": ["tlh"]},
        {"numerals": True},
        {"redact": "numbers"},
    ],
)
def test_a_configuration_that_is_refused_changes_nothing(message: dict[str, Any]) -> None:
    dialect = connected(keyterm="old")
    before = dialect.options
    (failure,) = replies(dialect, {"type": "Configure", "keyterms": ["new"], **message})
    assert failure["type"] == "ConfigureFailure"
    assert failure["description"]
    assert dialect.options == before


texts = st.sampled_from(["", "one", "two three"])
said = st.one_of(
    st.builds(partial_of, texts),
    st.builds(final_of, texts, st.sampled_from(["endpoint", "cut", "flush", "close"])),
    st.just(SpeechStarted(0, 0.2, 0.5)),
    st.just(Silence(1.0, 2.0)),
    st.builds(TurnJudged, st.just(0), st.just(1.0), st.floats(0, 1)),
    st.just(SpeechResumed(0, 1.5)),
)


@given(st.lists(said, max_size=30))
def test_turns_are_numbered_start_once_and_end_once_with_all_their_text(happened: list[Any]) -> None:
    told = events(connected(eager_eot_threshold="0.5"), *happened)
    eager = [event for event, *_ in told if event in ("EagerEndOfTurn", "TurnResumed", "EndOfTurn")]
    assert all(before == "EagerEndOfTurn" for before, event in pairwise(["", *eager]) if event == "TurnResumed")
    open_turn = False
    expected = 0
    for event, turn, transcript in told:
        assert turn == expected
        assert transcript or event == "EndOfTurn"
        assert (event == "StartOfTurn") is not open_turn
        open_turn = event != "EndOfTurn"
        expected += event == "EndOfTurn"
    finals = [each.text for each in happened if isinstance(each, Final) and each.text]
    ended = " ".join(transcript for event, _, transcript in told if event == "EndOfTurn" and transcript)
    assert " ".join(finals).startswith(ended)


def test_options_are_live_options_of_the_server() -> None:
    turns = {"turn_detection": "smart", "turn_threshold": 0.7, "max_silence_ms": 5000}
    assert connected().options == LiveOptions(words=True, **turns)
