"""Deepgram's dialect: frames in, commands out; events in, messages out. What its SDK makes of them is tested beside."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_facts import ANY, ENGLISH, server_facts
from steno import __version__
from steno.backends.base import Capabilities
from steno.errors import (
    AuthenticationError,
    BackendError,
    DrainingError,
    ForbiddenOriginError,
    InvalidRequestError,
    NotAudioError,
    OverloadedError,
    SessionEndedError,
    StenoError,
    UnavailableError,
)
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import Draining, Failed, Lagging
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Configure,
    Flush,
    Handshake,
    KeepAlive,
    Message,
    Reply,
)
from steno.server.live.dialects.deepgram import DeepgramDialect, DeepgramFactory
from steno.streaming.events import (
    AssumedSilence,
    AudioProgress,
    Final,
    Partial,
    Reason,
    Silence,
    SpeechEnded,
    SpeechStarted,
)
from steno.types import Word

RAW = {"encoding": "linear16", "sample_rate": "16000"}
UUID = "5f3893da-83dc-5f49-9956-d6c294bc988f"
CREATED = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)


def handshake(*query: tuple[str, str], subprotocols: tuple[str, ...] = (), **headers: str) -> Handshake:
    return Handshake(query, headers, subprotocols)


def connected(*query: tuple[str, str], capabilities: Capabilities = ANY, **options: str) -> DeepgramDialect:
    asked = handshake(*query, *options.items())
    return DeepgramFactory(lambda: CREATED).open(asked, server_facts(capabilities))


def refused(*query: tuple[str, str], capabilities: Capabilities = ANY, **options: str) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        connected(*query, capabilities=capabilities, **options)
    message = DeepgramFactory().refusal(caught.value, "session")
    assert caught.value.param is not None
    assert caught.value.param in message["err_msg"]
    assert message["err_code"] == "Bad Request"
    return caught.value


def final(
    start_s: float, end_s: float, text: str, reason: Reason = "endpoint", segment_id: int = 0, **more: Any
) -> Final:
    return Final(segment_id, start_s, end_s, text, reason, **more)


def spoken(*words: tuple[str, float, float]) -> tuple[Word, ...]:
    return tuple(Word(text, start_s, end_s) for text, start_s, end_s in words)


# --- the query ---


def test_the_least_that_a_client_says_is_enough() -> None:
    assert connected().options == LiveOptions(encoding="webm", words=True)


@pytest.mark.parametrize(
    ("encoding", "ours"),
    [("linear16", "pcm_s16le"), ("linear32", "pcm_f32le"), ("mulaw", "mulaw"), ("alaw", "alaw")],
)
def test_raw_audio_has_an_encoding_and_a_rate(encoding: str, ours: str) -> None:
    options = connected(encoding=encoding, sample_rate="8000").options
    assert (options.encoding, options.sample_rate) == (ours, 8000)


@pytest.mark.parametrize("encoding", ["opus", "ogg-opus"])
def test_opus_comes_in_ogg_and_needs_no_rate(encoding: str) -> None:
    assert connected(encoding=encoding).options.encoding == "ogg"
    assert connected(encoding=encoding, sample_rate="48000").options == LiveOptions(encoding="ogg", words=True)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"encoding": "linear16"}, "sample_rate"),
        ({"encoding": "mulaw"}, "sample_rate"),
        ({**RAW, "sample_rate": "96000"}, "sample_rate"),
        ({**RAW, "sample_rate": "fast"}, "sample_rate"),
        ({**RAW, "sample_rate": "16000.5"}, "sample_rate"),
        ({**RAW, "channels": "2"}, "channels"),
        ({"encoding": "amr-nb", "sample_rate": "8000"}, "encoding"),
        ({"encoding": "flac"}, "encoding"),
        ({"interim_results": "maybe"}, "interim_results"),
        ({"punctuate": "very"}, "punctuate"),
        ({"endpointing": "soon"}, "endpointing"),
        ({"endpointing": "60001"}, "endpointing"),
        ({"utterance_end_ms": "1000"}, "utterance_end_ms"),
        ({"utterance_end_ms": "999", "interim_results": "true"}, "utterance_end_ms"),
        ({"language": "klingon"}, "language"),
        ({"model": "nova-9"}, "model"),
        ({"model": "nova-9-general"}, "model"),
        ({"version": "2021-11-10.1"}, "version"),
        ({"keywords": "swear:-5"}, "keywords"),
        ({"summarize": "true"}, "summarize"),
        ({"keyterms": "a"}, "keyterms"),
    ],
)
def test_what_is_wrong_is_refused_by_name(options: dict[str, str], param: str) -> None:
    assert refused(**options).param == param


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("callback", "https://example.org"),
        ("detect_entities", "true"),
        ("dictation", "true"),
        ("language_hint", "en"),
        ("multichannel", "true"),
        ("numerals", "true"),
        ("profanity_filter", "true"),
        ("redact", "pci"),
        ("replace", "this:that"),
        ("search", "word"),
    ],
)
def test_a_feature_that_is_not_to_be_had_is_refused_by_name_unless_it_is_false(option: str, value: str) -> None:
    error = refused((option, "false"), (option, value))
    assert error.param == option
    assert f"{option} is not supported; omit it" in error.message
    assert connected((option, "false")).options == connected().options


def test_an_option_that_holds_one_value_is_given_once() -> None:
    assert refused(("language", "en"), ("language", "de")).param == "language"


@pytest.mark.parametrize(
    "option",
    [
        ("punctuate", "true"),
        ("smart_format", "True"),
        ("filler_words", "true"),
        ("no_delay", "true"),
        ("mip_opt_out", "true"),
        ("tag", "mine"),
        ("extra", "key:value"),
        ("version", "latest"),
        ("channels", "1"),
        ("endpointing", "true"),
    ],
)
def test_what_changes_nothing_here_is_taken(option: tuple[str, str]) -> None:
    assert connected(option).options == connected().options


@pytest.mark.parametrize(("value", "silence_ms"), [("300", 300), ("10", 100), ("0", 100), ("60000", 60000)])
def test_endpointing_is_a_length_of_silence_no_shorter_than_we_can_tell(value: str, silence_ms: int) -> None:
    options = connected(endpointing=value).options
    assert (options.endpointing, options.silence_ms) == (True, silence_ms)


def test_without_endpointing_silence_ends_nothing() -> None:
    options = connected(endpointing="false").options
    assert (options.endpointing, options.silence_ms) == (False, None)


@pytest.mark.parametrize(
    ("asked", "language"), [("en", "en"), ("en-US", "en"), ("zh-TW", "zh"), ("multi", None), (None, None)]
)
def test_a_language_may_have_a_region_and_multi_is_any(asked: str | None, language: str | None) -> None:
    assert connected(**({"language": asked} if asked else {})).options.language == language


@pytest.mark.parametrize("model", ["nova-3", "nova-2", "nova-3-general", "nova-2-meeting", "nova-3-served"])
def test_a_models_variants_are_the_model(model: str) -> None:
    told = connected(model=model).encode(Silence(0.0, 1.0))[0]["metadata"]
    assert told["model_info"]["name"] == "base-model"


def test_results_say_what_told_the_speakers_apart_if_they_were_asked_for() -> None:
    told = connected(diarize="true").encode(Silence(0.0, 1.0))[0]["metadata"]
    assert set(told["diarize_info"]) == {"model_uuid", "arch"}
    assert "diarize_info" not in connected().encode(Silence(0.0, 1.0))[0]["metadata"]


def test_key_terms_and_keywords_are_hot_words() -> None:
    terms = [("keyterm", "New York"), ("keyterm", "Ångström"), ("keyterm", " ")]
    keywords = [("keywords", "steno:2.5"), ("keywords", "real:time"), ("keywords", "word")]
    assert connected(*terms, *keywords).options.hotwords == ("New York", "Ångström", "steno", "real:time", "word")


@pytest.mark.parametrize("option", ["keyterm", "keywords"])
def test_hot_words_are_named_as_the_client_named_them_where_they_are_ignored_or_too_long(option: str) -> None:
    dialect = connected((option, "word"), capabilities=ENGLISH)
    assert (dialect.options.hotwords, dialect.ignored) == ((), (option,))
    assert connected((option, "word")).ignored == ()
    assert refused((option, "word" * 1001)).param == option


def test_key_terms_that_cannot_be_used_are_named_in_the_answer_to_configure() -> None:
    dialect = connected(capabilities=ENGLISH)
    configure, reply = dialect.receive(json.dumps({"type": "Configure", "keyterms": ["a"]}))
    assert isinstance(configure, Configure)
    assert isinstance(reply, Reply)
    assert (reply.message["type"], reply.message["keyterms"], reply.message["ignored"]) == (
        "ConfigureSuccess", [], ["keyterms"],
    )  # fmt: skip


# --- keys and refusals ---


@pytest.mark.parametrize("scheme", ["Token", "token", "Bearer", "bearer"])
def test_the_key_is_in_the_header_or_follows_its_scheme_among_the_subprotocols(scheme: str) -> None:
    language = DeepgramFactory()
    assert language.key_of(handshake(authorization=f"{scheme} secret")) == "secret"
    offered = handshake(subprotocols=(scheme, "secret"))
    assert language.key_of(offered) == "secret"
    assert language.subprotocol_of(offered) == scheme


@pytest.mark.parametrize("offered", [(), ("token",), ("secret",), ("secret", "token"), ("other", "secret")])
def test_there_is_no_key_where_none_belongs(offered: tuple[str, ...]) -> None:
    language = DeepgramFactory()
    assert language.key_of(handshake(subprotocols=offered)) is None
    assert language.subprotocol_of(handshake(subprotocols=offered)) == ("token" if offered == ("token",) else None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequestError("no"), "Bad Request"),
        (AuthenticationError("no"), "INVALID_AUTH"),
        (ForbiddenOriginError("no"), "INSUFFICIENT_PERMISSIONS"),
        (OverloadedError("no"), "TOO_MANY_REQUESTS"),
        (UnavailableError("no"), "SERVICE_UNAVAILABLE"),
        (BackendError("no"), "INTERNAL_SERVER_ERROR"),
    ],
)
def test_a_refusal_is_deepgrams_error_body(error: StenoError, code: str) -> None:
    refusal = DeepgramFactory().refusal(error, "request")
    assert refusal == {"err_code": code, "err_msg": "no", "request_id": "request"}


# --- what the client sends ---


def test_frames_are_commands() -> None:
    dialect = connected()
    assert dialect.greeting() == []
    assert dialect.receive(b"\1\2") == [AudioInput(b"\1\2")]
    assert dialect.receive(b"") == [Close()]
    assert dialect.receive('{"type": "KeepAlive"}') == [KeepAlive()]
    assert dialect.receive('{"type": "Finalize"}') == [Flush()]
    assert dialect.receive('{"type": "CloseStream"}') == [Close()]


@pytest.mark.parametrize("text", ["", "hello", "[]", "null", "{}", '{"type": 7}', '{"type": ["x"]}', "[" * 100_000])
def test_a_message_that_is_none_is_answered_with_the_sdks_schema_error(text: str) -> None:
    (reply,) = connected().receive(text)
    assert isinstance(reply, Reply)
    assert set(reply.message) == {"type", "variant", "description", "message"}
    assert (reply.message["type"], reply.message["variant"]) == ("Error", "SchemaError")
    assert reply.message["message"] == text[:200]


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_whatever_text_comes_nothing_is_raised(text: str) -> None:
    connected().receive(text)


@given(st.dictionaries(st.sampled_from(["keyterms", "features", "x"]), st.none() | st.lists(st.text()) | st.text()))
def test_whatever_is_configured_nothing_is_raised(members: dict[str, object]) -> None:
    connected().receive(json.dumps({"type": "Configure", **members}))


def test_key_terms_can_be_replaced() -> None:
    dialect = connected(keyterm="old", language="en", **RAW)
    configure = {"type": "Configure", "keyterms": [" new ", "York", ""], "features": {"numerals": False}}
    expected = LiveOptions(language="en", hotwords=("new", "York"), words=True)
    assert dialect.receive(json.dumps(configure)) == [
        Configure(expected),
        Reply({"type": "ConfigureSuccess", "request_id": "session", "keyterms": ["new", "York"]}),
    ]
    assert dialect.options == expected


@pytest.mark.parametrize("diarize", [True, False])
def test_a_configure_that_repeats_diarize_succeeds_and_one_that_changes_it_fails(diarize: bool) -> None:
    dialect = connected(diarize=str(diarize).lower(), **RAW)
    for wanted in (True, False):
        (reply,) = dialect.receive(json.dumps({"type": "Configure", "features": {"diarize": wanted}}))
        assert isinstance(reply, Reply)
        assert reply.message["type"] == ("ConfigureSuccess" if wanted == diarize else "ConfigureFailure")
    assert dialect.options.diarize is diarize


@pytest.mark.parametrize(
    ("query", "diarize"),
    [
        ({"diarize": "false", "diarize_model": "latest"}, False),
        ({"diarize": "false", "diarize_version": "latest"}, False),
        ({"diarize": "true", "diarize_version": "2021-07-14.0"}, True),
        ({"diarize_version": "latest"}, True),
        ({"diarize_model": "v1"}, True),
        ({}, False),
    ],
)
def test_diarize_decides_and_a_model_or_version_implies_it(query: dict[str, str], diarize: bool) -> None:
    assert connected(**query, **RAW).options.diarize is diarize


def test_a_configure_that_changes_nothing_succeeds() -> None:
    dialect = connected(keyterm="old")
    message = '{"type": "Configure", "keyterms": null, "features": {"smart_format": true}}'
    assert dialect.receive(message) == [Reply({"type": "ConfigureSuccess", "request_id": "session"})]
    assert dialect.options.hotwords == ("old",)


@pytest.mark.parametrize(
    ("members", "capabilities", "code", "named"),
    [
        ({"keyterms": ["a" * 5000]}, ANY, "CONFIGURE_KEYTERM_LIMIT_EXCEEDED", "4000"),
        ({"keyterms": "a"}, ANY, "CONFIGURE_INTERNAL_ERROR", "keyterms"),
        ({"features": {"numerals": True}}, ANY, "CONFIGURE_INTERNAL_ERROR", "numerals"),
        ({"features": {"magic": False}}, ANY, "CONFIGURE_INTERNAL_ERROR", "magic"),
        ({"features": ["numerals"]}, ANY, "CONFIGURE_INTERNAL_ERROR", "features"),
        ({"thresholds": {}}, ANY, "CONFIGURE_INTERNAL_ERROR", "thresholds"),
    ],
)
def test_a_configure_that_cannot_be_met_fails_softly(
    members: dict[str, object], capabilities: Capabilities, code: str, named: str
) -> None:
    dialect = connected(capabilities=capabilities)
    before = dialect.options
    (reply,) = dialect.receive(json.dumps({"type": "Configure", **members}))
    assert isinstance(reply, Reply)
    assert (reply.message["type"], reply.message["code"]) == ("ConfigureFailure", code)
    assert reply.message["request_id"] == "session"
    assert named in reply.message["description"]
    assert dialect.options == before


# --- what the client is told ---


def test_a_final_has_every_field() -> None:
    words = (Word("“Don't", 0.5, 0.75, 0.9), Word("go!”", 0.75, 1.0, 0.8))
    event = final(0.25, 1.5, "“Don't go!”", words=words, confidence=0.85, language="en")
    assert connected().encode(event) == [
        {
            "type": "Results",
            "channel_index": [0, 1],
            "start": 0.25,
            "duration": 1.25,
            "is_final": True,
            "speech_final": True,
            "from_finalize": False,
            "channel": {
                "alternatives": [
                    {
                        "transcript": "“Don't go!”",
                        "confidence": 0.85,
                        "words": [
                            {
                                "word": "don't",
                                "punctuated_word": "“Don't",
                                "start": 0.5,
                                "end": 0.75,
                                "confidence": 0.9,
                            },
                            {"word": "go", "punctuated_word": "go!”", "start": 0.75, "end": 1.0, "confidence": 0.8},
                        ],
                    }
                ]
            },
            "metadata": {
                "request_id": "session",
                "model_info": {"name": "base-model", "version": __version__, "arch": "steno"},
                "model_uuid": UUID,
            },
        }
    ]


@pytest.mark.parametrize("event", [Silence(1.0, 2.5), final(1.0, 2.5, "", "cut"), final(1.0, 2.5, "", "close")])
def test_silence_is_an_empty_final_with_every_field(event: Silence | Final) -> None:
    (told,) = connected().encode(event)
    assert set(told) == set(connected().encode(final(0.0, 1.0, "text"))[0])
    assert (told["start"], told["duration"]) == (1.0, 1.5)
    assert (told["is_final"], told["speech_final"], told["from_finalize"]) == (True, False, False)
    assert told["channel"]["alternatives"] == [{"transcript": "", "confidence": 0.0, "words": []}]


@pytest.mark.parametrize(
    ("reason", "speech_final", "from_finalize"),
    [("endpoint", True, False), ("cut", False, False), ("flush", False, True), ("close", False, False)],
)
def test_why_a_segment_ended_is_told(reason: Reason, speech_final: bool, from_finalize: bool) -> None:
    (told,) = connected().encode(final(0.0, 1.0, "text", reason))
    assert (told["speech_final"], told["from_finalize"]) == (speech_final, from_finalize)


def test_a_finalize_in_silence_is_answered_where_the_stream_is() -> None:
    (told,) = connected().encode(final(3.5, 3.5, "", "flush"))
    assert (told["start"], told["duration"], told["is_final"], told["from_finalize"]) == (3.5, 0.0, True, True)


def test_partials_are_told_to_who_wants_them() -> None:
    partial = Partial(0, 1.0, 2.0, "one", " two", words=spoken(("one", 1.0, 1.5), ("two", 1.5, 2.0)))
    assert connected().encode(partial) == []
    (told,) = connected(interim_results="true").encode(partial)
    assert (told["start"], told["duration"]) == (1.0, 1.0)
    assert (told["is_final"], told["speech_final"], told["from_finalize"]) == (False, False, False)
    assert told["channel"]["alternatives"][0]["transcript"] == "one two"
    assert [word["word"] for word in told["channel"]["alternatives"][0]["words"]] == ["one", "two"]


def test_words_without_times_get_guessed_ones_inside_of_what_was_said() -> None:
    (told,) = connected(interim_results="true").encode(Partial(0, 1.0, 2.0, "same", " same"))
    words = told["channel"]["alternatives"][0]["words"]
    assert [(word["word"], word["start"], word["end"]) for word in words] == [("same", 1.0, 1.5), ("same", 1.5, 2.0)]
    (told,) = connected().encode(final(1.0, 5.0, "same same", spoken=(2.0, 3.0)))
    words = told["channel"]["alternatives"][0]["words"]
    assert [(word["start"], word["end"]) for word in words] == [(2.0, 2.5), (2.5, 3.0)]


def test_confidence_is_the_events_or_the_words_or_full() -> None:
    words = (Word("a", 0, 1, 0.5), Word("b", 1, 2, 0.7), Word("c", 2, 3))

    def told(event: Final) -> tuple[float, list[float]]:
        alternative = connected().encode(event)[0]["channel"]["alternatives"][0]
        return alternative["confidence"], [word["confidence"] for word in alternative["words"]]

    assert told(final(0, 3, "a b c", words=words, confidence=0.9)) == (0.9, [0.5, 0.7, 0.9])
    assert told(final(0, 3, "a b c", words=words)) == (0.6, [0.5, 0.7, 0.6])
    assert told(final(0, 3, "a")) == (1.0, [1.0])


def test_who_asks_for_any_language_is_told_which() -> None:
    event = final(0, 1, "ja", words=spoken(("ja", 0, 1)), language="de")
    (told,) = connected(language="multi").encode(event)
    alternative = told["channel"]["alternatives"][0]
    assert (alternative["languages"], alternative["words"][0]["language"]) == (["de"], "de")
    assert "languages" not in connected().encode(event)[0]["channel"]["alternatives"][0]


@pytest.mark.parametrize(
    ("written", "word"),
    [("Yes,", "yes"), ("«Oui»", "oui"), ("state-of-the-art.", "state-of-the-art"), ("—", "—"), ("C++", "c++")],
)
def test_a_word_is_also_told_without_case_and_punctuation(written: str, word: str) -> None:
    (told,) = connected().encode(final(0, 1, written, words=spoken((written, 0, 1))))
    (only,) = told["channel"]["alternatives"][0]["words"]
    assert (only["word"], only["punctuated_word"]) == (word, written)


def test_a_segment_that_failed_is_told_with_what_was_stable_after_the_reason() -> None:
    failed, told = connected().encode(final(1.0, 2.0, "stable", error=BackendError("it broke")))
    assert failed == {
        "type": "Error",
        "variant": "backend_error",
        "description": "it broke",
        "message": "it broke",
    }
    assert (told["start"], told["duration"], told["is_final"]) == (1.0, 1.0, True)
    assert told["channel"]["alternatives"][0]["transcript"] == "stable"


@given(st.lists(st.integers(1, 500_000), min_size=2, max_size=50))
def test_final_ranges_tile_the_audio_exactly(lengths: list[int]) -> None:
    dialect = connected()
    ends = [sum(lengths[:n]) / 16_000 for n in range(len(lengths) + 1)]
    told = [dialect.encode(Silence(start_s, end_s))[0] for start_s, end_s in pairwise(ends)]
    assert told[0]["start"] == 0
    for before, after in pairwise(told):
        assert round(before["start"] + before["duration"], 4) == after["start"]
        assert before["duration"] == round(before["duration"], 4)
    assert round(told[-1]["start"] + told[-1]["duration"], 4) == round(ends[-1], 4)


def test_the_start_of_speech_is_told_to_who_wants_it() -> None:
    started = SpeechStarted(0, 1.0, 1.25)
    assert connected().encode(started) == []
    expected = {"type": "SpeechStarted", "channel": [0, 1], "timestamp": 1.25}
    assert connected(vad_events="true").encode(started) == [expected]


@pytest.mark.parametrize("event", [SpeechEnded(0, 1.0, "endpoint"), AudioProgress(1.0), Lagging(5.0, 2.0)])
def test_of_the_rest_nothing_is_told(event: SpeechEnded | AudioProgress | Lagging) -> None:
    assert connected(interim_results="true", vad_events="true", utterance_end_ms="1000").encode(event) == []


@pytest.mark.parametrize("error", [NotAudioError("it is not audio"), SessionEndedError("it is late")])
def test_what_goes_wrong_is_an_error_that_the_sdk_knows(error: StenoError) -> None:
    expected = {"type": "Error", "variant": error.code, "description": error.message, "message": error.message}
    assert connected().encode(Failed(error)) == [expected]
    assert connected().complaint(error) == [expected]


def test_a_shutdown_is_told_at_once_as_an_error_that_the_sdk_knows() -> None:
    (told,) = connected().encode(Draining(DrainingError()))
    assert (told["type"], told["variant"]) == ("Error", "draining")


# --- the end of an utterance ---


def utterances() -> DeepgramDialect:
    return connected(utterance_end_ms="1000", interim_results="true", vad_events="true")


def ends(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["type"] == "UtteranceEnd"]


SAID = final(0.0, 2.0, "one", words=spoken(("one", 1.0, 1.5)))
END = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.5}


def test_an_utterance_ends_once_after_a_gap_without_words() -> None:
    dialect = utterances()
    told = [
        dialect.encode(event) for event in (SpeechStarted(0, 0.0, 1.0), AudioProgress(2.0), SAID, AudioProgress(2.49))
    ]
    assert ends([message for messages in told for message in messages]) == []
    assert dialect.encode(AudioProgress(2.5)) == [END]
    assert dialect.encode(AudioProgress(10.0)) == []


def test_an_utterance_of_a_client_that_mutes_ends_by_the_clock() -> None:
    dialect = utterances()
    for event in (SpeechStarted(0, 0.0, 1.0), AssumedSilence(2.0, 0.5), SAID):
        assert ends(list(dialect.encode(event))) == []
    assert dialect.encode(AssumedSilence(2.0, 1.0)) == [END]
    assert dialect.encode(AssumedSilence(2.0, 1.5)) == []
    later = [SpeechStarted(1, 2.0, 2.1), final(2.0, 3.0, "two", segment_id=1, words=spoken(("two", 2.1, 2.9)))]
    assert ends([message for event in later for message in dialect.encode(event)]) == []


def test_an_utterance_whose_text_comes_late_ends_after_its_final() -> None:
    dialect = utterances()
    dialect.encode(SpeechStarted(0, 0.0, 1.0))
    assert dialect.encode(AudioProgress(9.0)) == []
    results, end = dialect.encode(SAID)
    assert (results["type"], end) == ("Results", END)


def test_an_utterance_does_not_end_while_somebody_speaks() -> None:
    dialect = utterances()
    for event in (SpeechStarted(0, 0.0, 1.0), SAID, SpeechStarted(1, 2.25, 2.25)):
        assert ends(list(dialect.encode(event))) == []
    assert dialect.encode(AudioProgress(9.0)) == []
    again = final(2.25, 9.0, "two", segment_id=1, words=spoken(("two", 2.25, 8.0)))
    assert dialect.encode(again)[1:] == [{**END, "last_word_end": 8.0}]


def test_noise_without_words_delays_an_utterances_end_and_does_not_move_it() -> None:
    dialect = utterances()
    for event in (SpeechStarted(0, 0.0, 1.0), SAID, SpeechStarted(1, 2.25, 2.25), AudioProgress(4.0)):
        assert ends(list(dialect.encode(event))) == []
    assert dialect.encode(final(2.25, 4.0, "", segment_id=1))[1:] == [END]


def test_silence_that_nobody_told_in_time_ends_an_utterance_before_the_next_begins() -> None:
    dialect = utterances()
    dialect.encode(SpeechStarted(0, 0.0, 1.0))
    dialect.encode(SAID)
    assert [message["type"] for message in dialect.encode(SpeechStarted(1, 4.7, 5.0))] == [
        "UtteranceEnd",
        "SpeechStarted",
    ]
    assert dialect.encode(AudioProgress(6.0)) == []


def test_where_nobody_asked_no_utterance_ends() -> None:
    dialect = connected()
    for event in (SpeechStarted(0, 0.0, 1.0), SAID, AudioProgress(100.0)):
        assert ends(list(dialect.encode(event))) == []


# --- the end ---


def test_the_farewell_sums_up_what_was_received() -> None:
    dialect = connected(**RAW)
    dialect.receive(b"\1\2")
    dialect.receive('{"type": "KeepAlive"}')
    dialect.receive(b"\3")
    assert dialect.farewell(12.345678) == [
        {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": "session",
            "sha256": hashlib.sha256(b"\1\2\3").hexdigest(),
            "created": "2026-02-03T04:05:06.789Z",
            "duration": 12.3457,
            "channels": 1,
            "models": [UUID],
            "model_info": {UUID: {"name": "base-model", "version": __version__, "arch": "steno"}},
        }
    ]
