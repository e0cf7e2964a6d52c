"""Frames in, commands out; events in, messages out."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from steno.backends.base import Capabilities
from steno.errors import (
    BackendError,
    DrainingError,
    InvalidRequestError,
    OverloadedError,
    SessionEndedError,
    StenoError,
    UndecodableAudioError,
    UnknownModelError,
)
from steno.pipelines.live.live_options import LiveOptions, check
from steno.pipelines.live.notices import Draining, Failed, Lagging, LiveEvent
from steno.server.live.dialects import openai_session as sessions
from steno.server.live.dialects.base import (
    AudioInput,
    Command,
    Configure,
    Flush,
    Handshake,
    Message,
    Reply,
    Reset,
    ServerFacts,
)
from steno.server.live.dialects.frames import take_apart
from steno.server.live.dialects.openai import OPENAI_REALTIME, OpenAiRealtimeDialect
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

CAPABILITIES = Capabilities(
    languages=frozenset({"en", "fr"}),
    live=True,
    word_times=True,
    context=True,
    max_audio_s=60,
)
TRANSCRIPTION = "conversation.item.input_audio_transcription"
LOGPROBS = "item.input_audio_transcription.logprobs"
LIVE = ("gpt-live-transcribe", "gpt-realtime-whisper")
SECOND = bytes(48_000)
"""Of silence, in the format that a session begins with."""


def check_model(model: str | None) -> str:
    if model not in (None, "", "served", "whisper-1", "gpt-4o-transcribe", *LIVE):
        raise UnknownModelError(f"model {model!r} is not served here", param="model")
    return "served"


def check_options(options: LiveOptions) -> LiveOptions:
    return check(options, CAPABILITIES, "test", can_translate=False)


OPENING = ServerFacts("s1", "served", 30.0, check_options, check_model)


def handshake(query: Sequence[tuple[str, str]] = (), *subprotocols: str, **headers: str) -> Handshake:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Handshake(query, named, subprotocols)


def session(model: str = "served", **changes: Any) -> Message:
    """What a client is told of a fresh session, with changes to its audio input."""
    include = changes.pop("include", None)
    heard = {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "noise_reduction": None,
        "transcription": {"model": model, "language": None, "prompt": None},
        "turn_detection": {"type": "server_vad"},
        **changes,
    }
    head = {"id": "sess_s1", "object": "realtime.transcription_session", "type": "transcription"}
    return {**head, "audio": {"input": heard}, "include": include}


class Talk:
    """A client's conversation. Items are named `item 1`, `item 2` in the order of their first mention."""

    def __init__(self, *, manual: bool = False, **header: str) -> None:
        self.dialect: OpenAiRealtimeDialect = OPENAI_REALTIME.open(handshake(**header), OPENING)
        self._names: dict[str, str] = {}
        self._event_ids: set[str] = set()
        if manual:
            self.update(turn_detection=None)

    def greeting(self) -> list[Message]:
        return self._plain(self.dialect.greeting())

    def send(self, type: str, **fields: Any) -> list[Command]:
        return self.receive(json.dumps({"type": type, **fields}))

    def receive(self, frame: str | bytes) -> list[Command]:
        commands = self.dialect.receive(frame)
        return [self._plain_command(command) for command in commands]

    def append(self, audio: bytes = SECOND) -> list[Command]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def update(self, **heard: Any) -> list[Command]:
        return self.send("session.update", session={"type": "transcription", "audio": {"input": heard}})

    def commit(self) -> list[Command]:
        self.append()
        return self.send("input_audio_buffer.commit")

    def hear(self, *events: LiveEvent) -> list[Message]:
        return self._plain([message for event in events for message in self.dialect.encode(event)])

    def _plain_command(self, command: Command) -> Command:
        return Reply(self._plain([command.message])[0]) if isinstance(command, Reply) else command

    def _plain(self, messages: Sequence[Message]) -> list[Message]:
        for message in messages:
            assert list(message)[:2] == ["event_id", "type"]
            assert message["event_id"] not in self._event_ids
            self._event_ids.add(message["event_id"])
        return [self._renamed({k: v for k, v in message.items() if k != "event_id"}) for message in messages]

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._renamed(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._renamed(entry) for entry in value]
        if isinstance(value, str) and value.startswith("item_"):
            return self._names.setdefault(value, f"item {len(self._names) + 1}")
        return value


def started(n: int, start_s: float) -> SpeechStarted:
    return SpeechStarted(n, start_s, start_s + 0.3)


def ended(n: int, end_s: float, reason: Reason = "endpoint") -> SpeechEnded:
    return SpeechEnded(n, end_s, reason)


def final(n: int, start_s: float, end_s: float, text: str, reason: Reason = "endpoint", **more: Any) -> Final:
    return Final(n, start_s, end_s, text, reason, **more)


def partial(n: int, stable: str, draft: str = "") -> Partial:
    return Partial(n, 0, 1, stable, draft)


def speech_started(item: str, ms: int) -> Message:
    return {"type": "input_audio_buffer.speech_started", "audio_start_ms": ms, "item_id": item}


def speech_stopped(item: str, ms: int) -> Message:
    return {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": ms, "item_id": item}


def item_of(name: str, transcript: str | None) -> Message:
    content = [{"type": "input_audio", "transcript": transcript}]
    head = {"id": name, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
    return {**head, "content": content}


def committed(item: str, previous: str | None = None, name: str = "added") -> list[Message]:
    return [
        {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": item},
        {"type": f"conversation.item.{name}", "previous_item_id": previous, "item": item_of(item, None)},
    ]


def delta(item: str, text: str) -> Message:
    return {"type": f"{TRANSCRIPTION}.delta", "item_id": item, "content_index": 0, "delta": text}


def completed(item: str, text: str, seconds: float, previous: str | None = None, **more: Any) -> list[Message]:
    usage = {"type": "duration", "seconds": seconds}
    where = {"item_id": item, "content_index": 0}
    return [
        {"type": f"{TRANSCRIPTION}.completed", **where, "transcript": text, "usage": usage, **more},
        {"type": "conversation.item.done", "previous_item_id": previous, "item": item_of(item, text)},
    ]


def error(code: str, message: str, param: str | None = None, event_id: str | None = None) -> Message:
    detail = {"type": "invalid_request_error", "code": code, "message": message, "param": param, "event_id": event_id}
    return {"type": "error", "error": detail}


def error_in(commands: Sequence[Command]) -> Message:
    (reply,) = commands
    assert isinstance(reply, Reply)
    assert reply.message["type"] == "error"
    detail: Message = reply.message["error"]
    return detail


def refused(commands: Sequence[Command]) -> tuple[str, str | None]:
    detail = error_in(commands)
    assert detail["type"] == "invalid_request_error"
    assert detail["message"]
    return detail["code"], detail["param"]


def options_in(commands: Sequence[Command]) -> LiveOptions:
    configure, reply = commands
    assert isinstance(configure, Configure)
    assert isinstance(reply, Reply)
    assert reply.message["type"] in ("session.updated", "transcription_session.updated")
    return configure.options


def input_in(commands: Sequence[Command]) -> Message:
    options_in(commands)
    reply = commands[1]
    assert isinstance(reply, Reply)
    heard: Message = reply.message["session"]["audio"]["input"]
    return heard


# The way in


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (handshake(authorization="Bearer k"), "k"),
        (handshake(authorization="bEARER k"), "k"),
        (handshake(authorization="Basic k"), None),
        (handshake(api_key="k"), "k"),
        (handshake((), "realtime", "openai-insecure-api-key.k"), "k"),
        (handshake((), "realtime", "openai-insecure-api-key.k", authorization="Bearer other"), "other"),
        (handshake((), "realtime"), None),
        (handshake(), None),
    ],
)
def test_the_key_is_where_openais_clients_put_it(given: Handshake, key: str | None) -> None:
    assert OPENAI_REALTIME.key_of(given) == key


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("realtime", "openai-insecure-api-key.k", "openai-beta.realtime-v1"), "realtime"),
        (("openai-insecure-api-key.k", "realtime"), "realtime"),
        (("openai-insecure-api-key.k",), None),
        ((), None),
    ],
)
def test_the_subprotocol_is_agreed_on_and_never_holds_the_key(offered: tuple[str, ...], chosen: str | None) -> None:
    assert OPENAI_REALTIME.subprotocol_of(handshake((), *offered)) == chosen


@pytest.mark.parametrize("intent", [(), (("intent", "transcription"),)])
@pytest.mark.parametrize(
    ("model", "named"),
    [
        ((), "served"),
        ((("model", ""),), "served"),
        ((("model", "whisper-1"),), "whisper-1"),
        ((("model", "gpt-realtime-mini"),), "served"),
        ((("model", "gpt-4o-realtime-preview"),), "served"),
    ],
)
def test_intent_and_model_may_be_there_or_not(
    intent: tuple[tuple[str, str], ...], model: tuple[tuple[str, str], ...], named: str
) -> None:
    (created,) = OPENAI_REALTIME.open(handshake(intent + model), OPENING).greeting()
    assert created["session"] == session(named)


@pytest.mark.parametrize(
    ("query", "kind", "param"),
    [
        (("intent", "conversation"), InvalidRequestError, "intent"),
        (("model", "gpt-9"), UnknownModelError, "model"),
    ],
)
def test_what_is_not_to_be_had_is_refused_by_name(query: tuple[str, str], kind: type[StenoError], param: str) -> None:
    with pytest.raises(kind, match=query[1]) as caught:
        OPENAI_REALTIME.open(handshake([query]), OPENING)
    assert caught.value.param == param


def test_a_refusal_is_an_openai_error_body() -> None:
    body = OPENAI_REALTIME.refusal(OverloadedError("all places are taken"), "r1")
    assert body["error"] == {
        "message": "all places are taken",
        "type": "rate_limit_error",
        "param": None,
        "code": "overloaded",
    }
    assert body["context"] == {"requestId": "r1"}


def test_a_session_begins_with_24_khz_pcm_and_voice_detection() -> None:
    talk = Talk()
    assert talk.dialect.options == LiveOptions(encoding="pcm_s16le", sample_rate=24_000, endpointing=True)
    assert talk.greeting() == [{"type": "session.created", "session": session()}]


@pytest.mark.parametrize(
    "given", [handshake(openai_beta="realtime=v1"), handshake((), "realtime", "openai-beta.realtime-v1")]
)
def test_the_beta_has_its_own_names(given: Handshake) -> None:
    (created,) = OPENAI_REALTIME.open(given, OPENING).greeting()
    assert created["type"] == "transcription_session.created"
    assert created["session"] == {
        "id": "sess_s1",
        "object": "realtime.transcription_session",
        "input_audio_format": "pcm16",
        "input_audio_noise_reduction": None,
        "input_audio_transcription": {"model": "served", "language": None, "prompt": None},
        "turn_detection": {"type": "server_vad"},
        "include": None,
    }


# Audio


def test_appended_audio_is_not_acknowledged() -> None:
    assert Talk().append(b"\x01\x02\x03") == [AudioInput(b"\x01\x02\x03")]
    assert Talk().append(b"") == []


@pytest.mark.parametrize("audio", ["%%%", "AAA", "é", None, 7, ["AAAA"]])
def test_audio_that_is_no_base64_is_an_error_that_names_the_event(audio: object) -> None:
    commands = Talk().send("input_audio_buffer.append", audio=audio, event_id="e7")
    assert commands == [Reply(error("invalid_value", "audio must be a base64 string", "audio", "e7"))]


@pytest.mark.parametrize("frame", ["", "hello", "[]", "7", "null", b"\x00\x01", '{"type": "a"'])
def test_a_frame_that_is_no_event_is_an_error(frame: str | bytes) -> None:
    assert refused(Talk().receive(frame)) == ("invalid_json", None)


def test_a_frame_nested_too_deeply_is_an_error() -> None:
    assert refused(Talk().receive("[" * 100_000)) == ("invalid_json", None)


def test_an_unknown_event_is_an_error_that_says_what_there_is() -> None:
    known = "session.update, transcription_session.update, input_audio_buffer.append, input_audio_buffer.commit"
    message = f"unknown event type 'input_audio_buffer.eat'; there are: {known}, input_audio_buffer.clear"
    commands = Talk().send("input_audio_buffer.eat", event_id="e1")
    assert commands == [Reply(error("unknown_event", message, "type", "e1"))]
    assert refused(Talk().receive("{}")) == ("unknown_event", "type")


@pytest.mark.parametrize("name", ["response.create", "conversation.item.create", "output_audio_buffer.clear"])
def test_events_of_a_conversation_are_refused_by_name(name: str) -> None:
    commands = Talk().send(name)
    assert commands == [Reply(error("unsupported", f"{name!r}: this server transcribes only", "type"))]


# Updates


def test_an_update_is_applied_and_comes_back() -> None:
    heard = {
        "format": {"type": "audio/pcmu"},
        "noise_reduction": {"type": "near_field"},
        "transcription": {"model": "gpt-4o-transcribe", "language": "fr", "prompt": "cheese"},
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.6,
            "prefix_padding_ms": 200,
            "silence_duration_ms": 700,
        },
    }
    talk = Talk()
    update = {"type": "transcription", "audio": {"input": heard}, "include": [LOGPROBS]}
    options = LiveOptions(
        encoding="mulaw",
        sample_rate=8_000,
        language="fr",
        prompt="cheese",
        words=True,
        silence_ms=700,
        turn_detection="silence",
        threshold=0.6,
        pre_roll_ms=200,
    )
    updated = {"type": "session.updated", "session": session(**heard, include=[LOGPROBS])}
    assert talk.send("session.update", session=update) == [Configure(options), Reply(updated)]
    assert talk.dialect.options == options


def test_what_an_update_leaves_out_stays_and_null_switches_off() -> None:
    talk = Talk()
    talk.update(
        transcription={"language": "fr", "prompt": "cheese"},
        noise_reduction={"type": "far_field"},
        turn_detection={"type": "server_vad", "threshold": 0.6, "silence_duration_ms": 700},
    )
    heard = input_in(
        talk.update(
            transcription={"prompt": None},
            turn_detection={"type": "server_vad", "threshold": 0.7},
            noise_reduction=None,
        )
    )
    assert heard["transcription"] == {"model": "served", "language": "fr", "prompt": None}
    assert heard["turn_detection"] == {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 700}
    assert heard["noise_reduction"] is None
    assert input_in(talk.update(turn_detection=None))["turn_detection"] is None
    assert not talk.dialect.options.endpointing
    assert options_in(talk.send("session.update", session={})) == talk.dialect.options


@pytest.mark.parametrize(
    ("asked", "encoding", "hz", "told"),
    [
        ({"type": "audio/pcm", "rate": 24_000}, "pcm_s16le", 24_000, {"type": "audio/pcm", "rate": 24_000}),
        ({"type": "audio/pcm"}, "pcm_s16le", 24_000, {"type": "audio/pcm", "rate": 24_000}),
        ({"type": "audio/pcm", "rate": 16_000}, "pcm_s16le", 16_000, {"type": "audio/pcm"}),
        ({"type": "audio/pcmu"}, "mulaw", 8_000, {"type": "audio/pcmu"}),
        ({"type": "audio/pcma"}, "alaw", 8_000, {"type": "audio/pcma"}),
        (None, "pcm_s16le", 24_000, {"type": "audio/pcm", "rate": 24_000}),
    ],
)
def test_formats_and_no_rate_but_24_khz_is_told(asked: object, encoding: str, hz: int, told: Message) -> None:
    talk = Talk()
    assert input_in(talk.update(format=asked))["format"] == told
    assert (talk.dialect.options.encoding, talk.dialect.options.sample_rate) == (encoding, hz)


@pytest.mark.parametrize(
    ("asked", "eagerness", "threshold", "longest_ms"),
    [
        ({"eagerness": "low"}, "low", 0.8, 8000),
        ({"eagerness": "medium"}, "medium", 0.6, 4000),
        ({"eagerness": "high"}, "high", 0.4, 2000),
        ({"eagerness": None}, "auto", 0.6, 4000),
        ({}, "auto", 0.6, 4000),
    ],
)
def test_semantic_vad_judges_turns_as_eagerly_as_asked(
    asked: Message, eagerness: str, threshold: float, longest_ms: float
) -> None:
    talk = Talk()
    before = talk.dialect.options
    talk.update(turn_detection={"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 700})
    events = talk.update(turn_detection={"type": "semantic_vad", **asked})
    assert input_in(events)["turn_detection"] == {"type": "semantic_vad", "eagerness": eagerness}
    assert options_in(events) == replace(
        before, turn_detection="smart", turn_threshold=threshold, max_silence_ms=longest_ms
    )


def test_server_vad_after_semantic_vad_is_silence_again() -> None:
    talk = Talk()
    talk.update(turn_detection={"type": "semantic_vad", "eagerness": "high"})
    heard = input_in(talk.update(turn_detection={"type": "server_vad"}))
    assert heard["turn_detection"] == {"type": "server_vad"}
    assert talk.dialect.options.turn_detection == "silence"


def test_an_eagerness_that_does_not_exist_is_refused_by_name() -> None:
    talk = Talk()
    (refused,) = talk.update(turn_detection={"type": "semantic_vad", "eagerness": "hasty"})
    assert refused.message["error"]["param"] == "session.audio.input.turn_detection.eagerness"


@pytest.mark.parametrize(
    ("asked", "changes"),
    [
        ({"silence_duration_ms": 0}, {"silence_ms": 100}),
        ({"threshold": 0}, {"threshold": 0.01}),
        ({"threshold": 1.0}, {"threshold": 0.99}),
        ({"type": "server_vad", "create_response": True, "interrupt_response": None, "idle_timeout_ms": 5000}, {}),
        ({"type": "none"}, {"endpointing": False}),
    ],
)
def test_numbers_are_brought_into_range_and_what_has_no_effect_is_taken(
    asked: Message, changes: dict[str, Any]
) -> None:
    talk = Talk()
    detection = None if asked.get("type") == "none" else "silence"
    before = replace(talk.dialect.options, turn_detection=detection)
    assert options_in(talk.update(turn_detection=asked)) == replace(before, **changes)


def test_hints_that_the_recogniser_does_not_use_are_named_and_no_error() -> None:
    plain = replace(CAPABILITIES, context=False)
    opening = replace(OPENING, check=lambda options: check(options, plain, "plain", can_translate=False))
    dialect = OPENAI_REALTIME.open(handshake(), opening)
    heard = {"transcription": {"prompt": "a hint", "keywords": ["Brie"]}}
    configure, reply = dialect.receive(json.dumps({"type": "session.update", "session": {"audio": {"input": heard}}}))
    assert isinstance(configure, Configure)
    assert configure.options.context == ""
    assert isinstance(reply, Reply)
    assert (reply.message["type"], reply.message["ignored"]) == ("session.updated", [
        "session.audio.input.transcription.prompt", "session.audio.input.transcription.keywords",
    ])  # fmt: skip


def test_keywords_are_hot_words_and_one_of_several_languages_is_none() -> None:
    talk = Talk()
    heard = input_in(talk.update(transcription={"keywords": ["Brie"], "languages": ["fr"], "delay": "low"}))
    told = {"model": "served", "language": "fr", "prompt": None, "keywords": ["Brie"]}
    assert heard["transcription"] == told
    assert talk.dialect.options.hotwords == ("Brie",)
    talk.update(transcription={"languages": ["fr", "en"]})
    assert talk.dialect.options.language is None


INPUT = "session.audio.input"


@pytest.mark.parametrize(
    ("heard", "code", "param"),
    [
        ({"format": {"type": "audio/mp3"}}, "invalid_value", f"{INPUT}.format.type"),
        ({"format": {"type": "audio/pcm", "rate": 4_000}}, "unsupported_sample_rate", f"{INPUT}.format.rate"),
        ({"format": {"type": "audio/pcm", "rate": 10**400}}, "invalid_value", f"{INPUT}.format.rate"),
        ({"format": {"type": "audio/pcmu", "rate": 16_000}}, "invalid_value", f"{INPUT}.format.rate"),
        ({"format": 7}, "invalid_value", f"{INPUT}.format"),
        ({"noise_reduction": {"type": "magic"}}, "invalid_value", f"{INPUT}.noise_reduction.type"),
        ({"noise_reduction": {"strength": "much"}}, "invalid_value", f"{INPUT}.noise_reduction.strength"),
        ({"transcription": None}, "invalid_value", f"{INPUT}.transcription"),
        ({"transcription": {"model": "gpt-9"}}, "model_not_found", f"{INPUT}.transcription.model"),
        ({"transcription": {"language": "xx"}}, "unsupported_language", f"{INPUT}.transcription.language"),
        ({"transcription": {"language": 7}}, "invalid_value", f"{INPUT}.transcription.language"),
        ({"transcription": {"keywords": "Brie"}}, "invalid_value", f"{INPUT}.transcription.keywords"),
        ({"transcription": {"colour": "red"}}, "unknown_parameter", f"{INPUT}.transcription.colour"),
        ({"turn_detection": {"type": "psychic"}}, "invalid_value", f"{INPUT}.turn_detection.type"),
        ({"turn_detection": {"threshold": 7}}, "invalid_value", f"{INPUT}.turn_detection.threshold"),
        ({"turn_detection": {"threshold": True}}, "invalid_value", f"{INPUT}.turn_detection.threshold"),
        (
            {"turn_detection": {"silence_duration_ms": 10**6}},
            "invalid_request",
            f"{INPUT}.turn_detection.silence_duration_ms",
        ),
        (
            {"turn_detection": {"prefix_padding_ms": -1}},
            "invalid_request",
            f"{INPUT}.turn_detection.prefix_padding_ms",
        ),
        ({"colour": "red"}, "unknown_parameter", f"{INPUT}.colour"),
    ],
)
def test_a_bad_value_is_named_and_changes_nothing(heard: Message, code: str, param: str) -> None:
    talk = Talk()
    greeting = talk.greeting()
    good = {"transcription": {"prompt": "x"}, "noise_reduction": {"type": "near_field"}, "turn_detection": None}
    assert refused(talk.update(**good | heard)) == (code, param)
    assert refused(talk.update(**heard)) == (code, param)
    assert talk.greeting() == greeting


@pytest.mark.parametrize(
    ("asked", "code", "param"),
    [
        (None, "invalid_value", "session"),
        ([], "invalid_value", "session"),
        ({"type": "realtime"}, "invalid_value", "session.type"),
        ({"audio": None}, "invalid_value", "session.audio"),
        ({"audio": {"output": {}}}, "unknown_parameter", "session.audio.output"),
        ({"audio": {"input": 7}}, "invalid_value", "session.audio.input"),
        ({"include": ["everything"]}, "invalid_value", "session.include"),
        ({"include": "everything"}, "invalid_value", "session.include"),
        ({"instructions": "be kind"}, "unknown_parameter", "session.instructions"),
        (
            {"turn_detection": {"silence_duration_ms": 10**6}},
            "invalid_request",
            "session.turn_detection.silence_duration_ms",
        ),
    ],
)
def test_a_bad_session_is_named(asked: object, code: str, param: str) -> None:
    assert refused(Talk().send("session.update", session=asked, event_id="e")) == (code, param)


def test_an_error_of_an_update_uses_the_clients_own_names() -> None:
    detail = error_in(Talk().update(turn_detection={"silence_duration_ms": 10**6}))
    assert detail["message"] == "silence_duration_ms must be 100 to 60000, got 1e+06"


@pytest.mark.parametrize(
    ("name", "encoding", "hz"),
    [("pcm16", "pcm_s16le", 24_000), ("g711_ulaw", "mulaw", 8_000), ("g711_alaw", "alaw", 8_000)],
)
def test_an_update_of_the_beta_switches_to_its_names(name: str, encoding: str, hz: int) -> None:
    talk = Talk()
    asked = {
        "input_audio_format": name,
        "input_audio_transcription": {"model": "whisper-1", "language": "en"},
        "input_audio_noise_reduction": None,
        "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500},
        "modalities": ["text"],
    }
    configure, reply = talk.send("transcription_session.update", session=asked)
    assert isinstance(configure, Configure)
    assert (configure.options.encoding, configure.options.sample_rate) == (encoding, hz)
    assert reply == Reply(
        {
            "type": "transcription_session.updated",
            "session": {
                "id": "sess_s1",
                "object": "realtime.transcription_session",
                "input_audio_format": name,
                "input_audio_noise_reduction": None,
                "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": None},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 500},
                "include": None,
            },
        }
    )
    said = talk.hear(started(0, 0), ended(0, 1), final(0, 0, 1, "hello"))
    assert said == [
        speech_started("item 1", 0),
        speech_stopped("item 1", 1000),
        *committed("item 1", name="created"),
        delta("item 1", "hello"),
        completed("item 1", "hello", 1.0)[0],
    ]
    assert refused(talk.send("transcription_session.update", session={"input_audio_format": "mp3"})) == (
        "invalid_value",
        "session.input_audio_format",
    )


# Items, with voice detection


def test_an_utterance_is_announced_bounded_told_and_completed() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0.7)) == [speech_started("item 1", 700)]
    assert talk.hear(partial(0, "", "hell")) == []
    assert talk.hear(partial(0, "hello", " whirled")) == [delta("item 1", "hello")]
    assert talk.hear(partial(0, "hello", " world")) == []
    assert talk.hear(ended(0, 3.2)) == [speech_stopped("item 1", 3200), *committed("item 1")]
    assert talk.hear(partial(0, "hello world", " wide")) == [delta("item 1", " world")]
    assert talk.hear(final(0, 0.7, 3.2, "hello world wide")) == [
        delta("item 1", " wide"),
        *completed("item 1", "hello world wide", 2.5),
    ]


def test_items_follow_each_other_and_a_late_final_is_its_own_items() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0), ended(0, 1), started(1, 2), ended(1, 3)) == [
        speech_started("item 1", 0),
        speech_stopped("item 1", 1000),
        *committed("item 1"),
        speech_started("item 2", 2000),
        speech_stopped("item 2", 3000),
        *committed("item 2", "item 1"),
    ]
    assert talk.hear(final(0, 0, 1, "one"), Silence(1, 2), final(1, 2, 3, "two")) == [
        delta("item 1", "one"),
        *completed("item 1", "one", 1.0),
        delta("item 2", "two"),
        *completed("item 2", "two", 1.0, "item 1"),
    ]


def test_an_empty_utterance_is_completed_too() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0), ended(0, 1), final(0, 0, 1, ""))[-2:] == completed("item 1", "", 1.0)


def test_what_was_cut_goes_on_in_the_same_item() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0), ended(0, 25, "cut"), started(1, 25)) == [speech_started("item 1", 0)]
    assert talk.hear(final(0, 0, 25, "one two", "cut")) == [delta("item 1", "one two")]
    assert talk.hear(partial(1, "", "three"), partial(1, "three", " four")) == [delta("item 1", " three")]
    assert talk.hear(ended(1, 30)) == [speech_stopped("item 1", 30_000), *committed("item 1")]
    assert talk.hear(final(1, 25, 30, "three four")) == [
        delta("item 1", " four"),
        *completed("item 1", "one two three four", 30.0),
    ]


def test_parts_in_a_script_without_spaces_are_joined_without() -> None:
    talk = Talk()
    said = talk.hear(started(0, 0), ended(0, 25, "cut"), final(0, 0, 25, "你好", "cut"))
    said += talk.hear(started(1, 25), ended(1, 30), final(1, 25, 30, "世界"))
    assert said[-2:] == completed("item 1", "你好世界", 30.0)


def test_a_cut_with_nothing_but_silence_after_it_ends_the_item() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0), ended(0, 25, "cut"), AudioProgress(25.3)) == [speech_started("item 1", 0)]
    assert talk.hear(AudioProgress(25.5)) == [speech_stopped("item 1", 25_000), *committed("item 1")]
    assert talk.hear(AudioProgress(26), started(1, 27)) == [speech_started("item 2", 27_000)]
    assert talk.hear(final(0, 0, 25, "one", "cut")) == [delta("item 1", "one"), *completed("item 1", "one", 25.0)]


def test_a_cut_after_which_the_client_mutes_ends_the_item() -> None:
    talk = Talk()
    assert talk.hear(started(0, 0), ended(0, 25, "cut"), AssumedSilence(25.2, 0.2)) == [speech_started("item 1", 0)]
    assert talk.hear(AssumedSilence(25.2, 0.5)) == [speech_stopped("item 1", 25_000), *committed("item 1")]


def test_after_a_cut_the_clients_own_silence_ends_the_item() -> None:
    talk = Talk()
    talk.update(turn_detection={"type": "server_vad", "silence_duration_ms": 2000})
    talk.hear(started(0, 0), ended(0, 25, "cut"), final(0, 0, 25, "one", "cut"))
    assert talk.hear(AudioProgress(26.9)) == []
    assert talk.hear(SpeechStarted(1, 27, 27.1)) == [
        speech_stopped("item 1", 25_000),
        *committed("item 1"),
        *completed("item 1", "one", 25.0),
        speech_started("item 2", 27_000),
    ]


def test_a_cut_at_the_end_of_the_stream_ends_the_item() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 25, "cut"), final(0, 0, 25, "one", "cut"))
    assert talk.hear(Silence(25, 25.3)) == [
        speech_stopped("item 1", 25_000),
        *committed("item 1"),
        *completed("item 1", "one", 25.0),
    ]


def test_a_pending_text_of_a_cut_is_not_taken_back_by_the_silence_after_it() -> None:
    talk = Talk()
    talk.hear(started(0, 0), partial(0, "one"), ended(0, 25, "cut"), AudioProgress(26))
    assert talk.hear(partial(0, "one two")) == [delta("item 1", " two")]
    assert talk.hear(final(0, 0, 25, "one two three", "cut")) == [
        delta("item 1", " three"),
        *completed("item 1", "one two three", 25.0),
    ]


def test_an_item_longer_than_two_minutes_ends_at_a_cut() -> None:
    talk = Talk()
    said: list[Message] = []
    for n in range(5):
        said += talk.hear(started(n, 30 * n), ended(n, 30 * n + 30, "cut"), final(n, 30 * n, 30 * n + 30, "x", "cut"))
    assert [message["type"] for message in said].count("input_audio_buffer.committed") == 1
    assert said[-2:] == completed("item 1", "x x x x x", 150.0)
    assert talk.hear(started(5, 150)) == [speech_started("item 2", 150_000)]


def test_a_text_that_was_not_recognised_has_failed_and_its_deltas_stay() -> None:
    talk = Talk()
    talk.hear(started(0, 0), partial(0, "one"), ended(0, 1))
    failure = {"type": "server_error", "code": "backend_error", "message": "it broke", "param": None}
    where = {"item_id": "item 1", "content_index": 0}
    assert talk.hear(final(0, 0, 1, "one", error=BackendError("it broke"))) == [
        {"type": f"{TRANSCRIPTION}.failed", **where, "error": failure},
        {"type": "conversation.item.done", "previous_item_id": None, "item": item_of("item 1", None)},
    ]
    assert talk.hear(started(1, 2), ended(1, 3), final(1, 2, 3, "two"))[-2:] == completed("item 2", "two", 1, "item 1")


def test_log_probabilities_come_with_those_words_whose_confidence_is_known() -> None:
    talk = Talk()
    options = options_in(talk.send("session.update", session={"include": [LOGPROBS]}))
    assert options.words
    words = (Word("né", 0, 1, 0.5), Word("x", 1, 2, None), Word("y", 1, 2, 0.0))
    talk.hear(started(0, 0), ended(0, 2))
    assert talk.hear(final(0, 0, 2, "né x y", words=words))[1]["logprobs"] == [
        {"token": "né", "logprob": math.log(0.5), "bytes": [110, 195, 169]},
        {"token": "y", "logprob": math.log(1e-10), "bytes": [121]},
    ]
    talk.hear(started(1, 3), ended(1, 4))
    assert talk.hear(final(1, 3, 4, "x"))[1]["logprobs"] == []
    talk.send("session.update", session={"include": None})
    talk.hear(started(2, 5), ended(2, 6))
    assert "logprobs" not in talk.hear(final(2, 5, 6, "x", words=words))[1]


def test_a_commit_ends_the_utterance_that_is_being_spoken() -> None:
    talk = Talk()
    talk.hear(started(0, 0))
    assert talk.commit() == [Flush()]
    assert talk.hear(ended(0, 1, "flush")) == [speech_stopped("item 1", 1000), *committed("item 1")]
    assert talk.hear(final(0, 0, 1, "one", "flush")) == [delta("item 1", "one"), *completed("item 1", "one", 1.0)]


def test_a_commit_of_silence_is_an_empty_item() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 1), final(0, 0, 1, "one"))
    assert talk.commit() == [Flush()]
    assert talk.hear(final(1, 4, 4, "", "flush")) == [
        *committed("item 2", "item 1"),
        *completed("item 2", "", 0.0, "item 1"),
    ]


def test_a_commit_right_after_that_of_voice_detection_is_refused_as_empty() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 1), final(0, 0, 1, "one"))
    talk.append()
    assert talk.send("input_audio_buffer.commit", event_id="e9") == [Flush()]
    text = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
    refusal = error("input_audio_buffer_commit_empty", f"{text}but buffer only has 64.00ms of audio.", None, "e9")
    assert talk.hear(final(1, 1.064, 1.064, "", "flush")) == [refusal]
    assert talk.hear(started(2, 2), ended(2, 3))[-2:] == committed("item 2", "item 1")


def test_clients_of_live_models_may_commit_right_after_voice_detection() -> None:
    talk = Talk()
    talk.update(transcription={"model": LIVE[0]})
    talk.hear(started(0, 0), ended(0, 1), final(0, 0, 1, "one"))
    talk.commit()
    said = talk.hear(final(1, 1.064, 1.064, "", "flush"))
    assert said == [*committed("item 2", "item 1"), *completed("item 2", "", 0.0, "item 1")]


def test_a_commit_on_its_way_while_voice_detection_commits_is_refused_as_empty() -> None:
    talk = Talk()
    talk.hear(started(0, 0))
    talk.commit()
    talk.hear(ended(0, 1), final(0, 0, 1, "one"))
    (refusal,) = talk.hear(final(1, 1, 1, "", "flush"))
    assert refusal["error"]["code"] == "input_audio_buffer_commit_empty"


def test_a_commit_after_a_cut_ends_the_item() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 25, "cut"), final(0, 0, 25, "one", "cut"))
    talk.commit()
    assert talk.hear(final(1, 25.2, 25.2, "", "flush")) == [
        speech_stopped("item 1", 25_000),
        *committed("item 1"),
        *completed("item 1", "one", 25.0),
    ]


def test_the_end_of_the_stream_ends_the_item() -> None:
    talk = Talk()
    said = talk.hear(started(0, 0), ended(0, 1, "close"), final(0, 0, 1, "one", "close"))
    assert said[1:3] == [speech_stopped("item 1", 1000), committed("item 1")[0]]
    assert said[-2:] == completed("item 1", "one", 1.0)


# Items, by hand


def test_in_manual_mode_nothing_is_told_before_the_commit() -> None:
    talk = Talk(manual=True)
    assert talk.hear(started(0, 0), partial(0, "one", " two"), ended(0, 25, "cut"), AudioProgress(30)) == []
    assert talk.hear(final(0, 0, 25, "one two", "cut"), started(1, 40), partial(1, "three")) == []
    assert talk.commit() == [*map(Reply, committed("item 1")), Flush()]
    assert talk.hear(ended(1, 50, "flush")) == []
    assert talk.hear(partial(1, "three four")) == [delta("item 1", "one two three four")]
    assert talk.hear(final(1, 40, 50, "three four five", "flush")) == [
        delta("item 1", " five"),
        *completed("item 1", "one two three four five", 1.0),
    ]


@pytest.mark.parametrize("model", LIVE)
def test_a_live_model_tells_stable_text_while_a_turn_is_open_and_the_commit_completes_it(model: str) -> None:
    talk = Talk()
    talk.update(turn_detection=None, transcription={"model": model})
    assert talk.hear(started(0, 0), partial(0, "", "one")) == []
    assert talk.hear(partial(0, "one", " two")) == [delta("item 1", "one")]
    assert talk.hear(ended(0, 25, "cut"), AudioProgress(30)) == []
    assert talk.hear(final(0, 0, 25, "one two", "cut")) == [delta("item 1", " two")]
    assert talk.hear(started(1, 40), partial(1, "three")) == [delta("item 1", " three")]
    assert talk.commit() == [*map(Reply, committed("item 1")), Flush()]
    assert talk.hear(partial(1, "three four")) == []
    assert talk.hear(ended(1, 50, "flush"), final(1, 40, 50, "three four", "flush")) == [
        delta("item 1", " four"),
        *completed("item 1", "one two three four", 1.0),
    ]
    assert talk.hear(started(2, 50), partial(2, "five")) == [delta("item 2", "five")]
    assert talk.commit() == [*map(Reply, committed("item 2", "item 1")), Flush()]


@pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe"])
def test_a_model_that_is_not_live_waits_for_the_commit(model: str) -> None:
    talk = Talk()
    talk.update(turn_detection=None, transcription={"model": model})
    assert talk.hear(started(0, 0), partial(0, "one"), ended(0, 25, "cut"), final(0, 0, 25, "one", "cut")) == []


def test_text_of_a_live_model_that_the_client_clears_is_told_no_further() -> None:
    talk = Talk()
    talk.update(turn_detection=None, transcription={"model": LIVE[0]})
    assert talk.hear(started(0, 0), partial(0, "one")) == [delta("item 1", "one")]
    talk.send("input_audio_buffer.clear")
    assert talk.hear(partial(0, "one two")) == []
    assert talk.hear(Silence(0, 2, discarded=True)) == [*committed("item 1"), *completed("item 1", "one", 2.0)]
    assert talk.hear(started(1, 2), partial(1, "three")) == [delta("item 2", "three")]


def test_a_commit_without_speech_is_completed_with_nothing() -> None:
    talk = Talk(manual=True)
    assert talk.commit() == [*map(Reply, committed("item 1")), Flush()]
    assert talk.hear(Silence(0, 1), final(0, 1, 1, "", "flush")) == completed("item 1", "", 1.0)


def test_commits_are_told_at_once_and_completed_in_their_order() -> None:
    talk = Talk(manual=True)
    replies = [talk.commit()[:2] for _ in range(3)]
    previous = [None, "item 1", "item 2"]
    assert replies == [[*map(Reply, committed(f"item {n}", previous[n - 1]))] for n in (1, 2, 3)]
    assert talk.hear(started(0, 0), ended(0, 1, "flush"), started(2, 2), ended(2, 3, "flush")) == []
    said = talk.hear(final(0, 0, 1, "one", "flush"), final(1, 2, 2, "", "flush"), final(2, 2, 3, "three", "flush"))
    assert said == [
        delta("item 1", "one"),
        *completed("item 1", "one", 1.0),
        *completed("item 2", "", 1.0, "item 1"),
        delta("item 3", "three"),
        *completed("item 3", "three", 1.0, "item 2"),
    ]


def test_text_is_not_told_before_the_commit_that_it_belongs_to_is() -> None:
    """An event may still be on its way to the client when its commit comes, and so may the commit's own answer."""
    talk = Talk(manual=True)
    talk.hear(started(0, 0))
    talk.commit()
    assert talk.hear(partial(0, "one")) == []
    assert talk.hear(ended(0, 1, "flush"), partial(0, "one")) == [delta("item 1", "one")]


@pytest.mark.parametrize(("audio", "has"), [(b"", "0.00"), (bytes(4799), "99.98"), (bytes(240), "5.00")])
@pytest.mark.parametrize("manual", [False, True])
def test_a_commit_of_less_than_100_ms_is_refused(manual: bool, audio: bytes, has: str) -> None:
    talk = Talk(manual=manual)
    talk.commit()
    talk.append(audio)
    text = "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
    refusal = error("input_audio_buffer_commit_empty", f"{text}but buffer only has {has}ms of audio.", None, "e9")
    assert talk.send("input_audio_buffer.commit", event_id="e9") == [Reply(refusal)]
    talk.append(bytes(4800))
    assert talk.send("input_audio_buffer.commit")[-1] == Flush()


def test_audio_is_counted_in_its_own_format() -> None:
    talk = Talk(manual=True)
    talk.update(format={"type": "audio/pcmu"})
    for _ in range(10):
        talk.append(bytes(80))
    assert talk.send("input_audio_buffer.commit")[-1] == Flush()
    assert talk.hear(final(0, 0.1, 0.1, "", "flush")) == completed("item 1", "", 0.1)


def test_an_uncommitted_item_longer_than_two_minutes_ends_at_a_cut() -> None:
    talk = Talk(manual=True)
    said: list[Message] = []
    for n in range(5):
        said += talk.hear(started(n, 30 * n), ended(n, 30 * n + 30, "cut"), final(n, 30 * n, 30 * n + 30, "x", "cut"))
    assert said == [*committed("item 1"), delta("item 1", "x x x x x"), *completed("item 1", "x x x x x", 150.0)]
    assert talk.commit()[:2] == [*map(Reply, committed("item 2", "item 1"))]
    assert talk.hear(final(5, 150, 150, "", "flush")) == completed("item 2", "", 1.0, "item 1")


def test_uncommitted_text_is_told_when_the_server_closes() -> None:
    talk = Talk(manual=True)
    said = talk.hear(started(0, 0), ended(0, 1, "close"), final(0, 0, 1, "one", "close"))
    assert said == [*committed("item 1"), delta("item 1", "one"), *completed("item 1", "one", 1.0)]
    assert Talk(manual=True).hear(final(0, 0, 1, "", "close")) == []


# Clearing


CLEARED = [Reset(), Reply({"type": "input_audio_buffer.cleared"})]


def test_a_cleared_item_of_which_something_was_told_ends_with_that() -> None:
    talk = Talk()
    talk.hear(started(0, 0), partial(0, "one", " two"))
    assert talk.send("input_audio_buffer.clear") == CLEARED
    assert talk.hear(Silence(0, 2, discarded=True)) == [
        speech_stopped("item 1", 2000),
        *committed("item 1"),
        *completed("item 1", "one", 2.0),
    ]
    assert talk.hear(started(1, 3)) == [speech_started("item 2", 3000)]


def test_a_cleared_item_of_which_nothing_was_told_is_forgotten() -> None:
    talk = Talk()
    talk.hear(started(0, 0), partial(0, "", "one"))
    talk.send("input_audio_buffer.clear")
    assert talk.hear(Silence(0, 2, discarded=True), started(1, 3)) == [speech_started("item 2", 3000)]
    assert talk.hear(ended(1, 4), final(1, 3, 4, "two"))[-2:] == completed("item 2", "two", 1.0, "item 1")


def test_what_ended_before_a_clear_is_completed_though_new_speech_begins_first() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 1), started(1, 2))
    talk.send("input_audio_buffer.clear")
    assert talk.hear(started(2, 3)) == [speech_started("item 3", 3000)]
    assert talk.hear(final(0, 0, 1, "one"), Silence(1, 2), Silence(2, 2.5, discarded=True)) == [
        delta("item 1", "one"),
        *completed("item 1", "one", 1.0),
    ]
    assert talk.hear(ended(2, 4), final(2, 3, 4, "three"))[-2:] == completed("item 3", "three", 1.0, "item 2")


def test_a_clear_in_silence_leaves_what_is_said_next_alone() -> None:
    talk = Talk()
    talk.hear(started(0, 0), ended(0, 1))
    talk.send("input_audio_buffer.clear")
    talk.hear(started(1, 3))
    talk.hear(final(0, 0, 1, "one"), Silence(1, 2, discarded=True), Silence(2, 3))
    assert talk.hear(ended(1, 4), final(1, 3, 4, "two"))[-2:] == completed("item 2", "two", 1.0, "item 1")


def test_in_manual_mode_a_clear_discards_all_that_was_not_committed() -> None:
    talk = Talk(manual=True)
    talk.hear(started(0, 0), ended(0, 25, "cut"), final(0, 0, 25, "one", "cut"), started(1, 25))
    assert talk.send("input_audio_buffer.clear") == CLEARED
    assert refused(talk.send("input_audio_buffer.commit")) == ("input_audio_buffer_commit_empty", None)
    assert talk.commit() == [*map(Reply, committed("item 1")), Flush()]
    assert talk.hear(Silence(25, 26, discarded=True), started(2, 27), ended(2, 28, "flush")) == []
    assert talk.hear(final(2, 27, 28, "two", "flush")) == [delta("item 1", "two"), *completed("item 1", "two", 1.0)]


def test_in_manual_mode_text_from_before_a_clear_is_not_told_though_a_commit_has_followed() -> None:
    talk = Talk(manual=True)
    talk.hear(started(0, 0), ended(0, 25, "cut"), started(1, 25))
    talk.send("input_audio_buffer.clear")
    talk.commit()
    talk.hear(started(2, 27), ended(2, 28, "flush"))
    assert talk.hear(partial(0, "one"), final(0, 0, 25, "one", "cut"), Silence(25, 26, discarded=True)) == []
    assert talk.hear(final(2, 27, 28, "two", "flush")) == [delta("item 1", "two"), *completed("item 1", "two", 1.0)]


def test_a_commit_before_a_clear_is_completed() -> None:
    talk = Talk(manual=True)
    talk.hear(started(0, 0))
    talk.commit()
    talk.send("input_audio_buffer.clear")
    talk.hear(ended(0, 1, "flush"))
    assert talk.hear(final(0, 0, 1, "one", "flush"), Silence(1, 2, discarded=True)) == [
        delta("item 1", "one"),
        *completed("item 1", "one", 1.0),
    ]


# A change of the mode, in the middle of things


def test_an_item_that_was_announced_is_the_one_that_is_committed_by_hand() -> None:
    talk = Talk()
    talk.hear(started(0, 0), partial(0, "one"))
    talk.update(turn_detection=None)
    assert talk.hear(partial(0, "one two")) == []
    assert talk.commit() == [*map(Reply, committed("item 1")), Flush()]
    assert talk.commit() == [*map(Reply, committed("item 2", "item 1")), Flush()]
    assert talk.hear(ended(0, 2, "flush"), final(0, 0, 2, "one two", "flush"), final(1, 3, 3, "", "flush")) == [
        delta("item 1", " two"),
        *completed("item 1", "one two", 1.0),
        *completed("item 2", "", 1.0, "item 1"),
    ]


def test_what_was_said_in_manual_mode_belongs_to_the_next_utterance_after_it() -> None:
    talk = Talk(manual=True)
    talk.hear(started(0, 0))
    talk.update(turn_detection={"type": "server_vad"})
    assert talk.hear(partial(0, "one"), ended(0, 1)) == []
    assert talk.hear(final(0, 0, 1, "one")) == [
        *committed("item 1"),
        delta("item 1", "one"),
        *completed("item 1", "one", 1.0),
    ]


def test_a_commit_by_hand_holds_though_voice_detection_is_switched_on_before_its_text_comes() -> None:
    talk = Talk(manual=True)
    talk.hear(started(0, 0))
    talk.commit()
    talk.update(turn_detection={"type": "server_vad"})
    assert talk.hear(ended(0, 1, "flush"), started(1, 2)) == []
    assert talk.hear(final(0, 0, 1, "one", "flush")) == [delta("item 1", "one"), *completed("item 1", "one", 1.0)]
    assert talk.hear(ended(1, 3), final(1, 2, 3, "two")) == [
        *committed("item 2", "item 1"),
        delta("item 2", "two"),
        *completed("item 2", "two", 1.0, "item 1"),
    ]


# What concerns no item


def test_lag_and_silence_are_not_spoken_of() -> None:
    assert Talk().hear(Lagging(5.0, 2.0), Silence(0, 3), AudioProgress(3.0)) == []


def test_what_fails_is_an_error_of_the_client_or_of_the_server() -> None:
    talk = Talk()
    (client,) = talk.hear(Failed(UndecodableAudioError("it is damaged")))
    assert client == error("undecodable_audio", "it is damaged")
    (draining,) = talk.hear(Draining(DrainingError()))
    assert (draining["type"], draining["message"]) == ("steno.draining", "the server is shutting down; try again")
    (server,) = talk.hear(Failed(BackendError("it broke")))
    detail = {"type": "server_error", "code": "backend_error", "message": "it broke", "param": None, "event_id": None}
    assert server == {"type": "error", "error": detail}


def test_the_server_says_why_it_closes_and_nothing_else() -> None:
    dialect = Talk().dialect
    (complaint,) = dialect.complaint(SessionEndedError("too long"))
    assert complaint["type"] == "error"
    assert complaint["error"]["message"] == "too long"
    assert dialect.farewell(3.0) == []


def test_a_large_append_is_one_like_any_other() -> None:
    opened = OpenAiRealtimeDialect(OPENING, sessions.default("served"))
    frame = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(SECOND * 3).decode()})
    assert opened.receive(take_apart(frame)) == [AudioInput(SECOND * 3)]


def test_a_large_frame_that_is_no_append_is_a_complaint() -> None:
    opened = OpenAiRealtimeDialect(OPENING, sessions.default("served"))
    (reply,) = opened.receive(take_apart('{"audio":[' + "{}," * 50_000 + "{}]}"))
    assert isinstance(reply, Reply)
    assert (reply.message["error"]["code"], reply.is_complaint) == ("invalid_json", True)
