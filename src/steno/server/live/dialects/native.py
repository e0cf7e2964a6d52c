"""steno's own dialect, `/ws/transcribe`: binary audio up, JSON down. Documented in `docs/live.md`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.live.live_options import LiveOptions, ignored
from steno.pipelines.live.notices import Draining, Failed, Lagging, LiveEvent, Loading, SpeakersChanged
from steno.server.http.error_response import status_of
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Command,
    Configure,
    Flush,
    Frame,
    Handshake,
    InvalidJsonError,
    KeepAlive,
    Message,
    Reply,
    Reset,
    ServerFacts,
)
from steno.server.live.dialects.frames import MAX_JSON_BYTES, object_of, rounded
from steno.server.live.dialects.native_options import changed, check_turns
from steno.server.middleware.auth import bearer
from steno.streaming.events import Final, Partial
from steno.types import Word

BUFFER_BYTES = 15_360
"""Recommended bytes per frame: 480 ms of 16 kHz PCM16, one step. Larger frames add latency."""
SUBPROTOCOL = "steno"
KEY_PREFIX = "steno-key."
"""A browser cannot set headers, but it can offer subprotocols: `["steno", "steno-key.KEY"]`."""
ACTIONS = ("flush", "reset", "config", "ping", "close")
FIXED = (
    "encoding",
    "sample_rate",
    "offset_s",
    "captions",
    "first_cue",
    "diarize",
    "num_speakers",
    "max_speakers",
    "speaker_updates",
)
"""Options that cannot change during a stream."""
CODES = {
    "unsupported_sample_rate": "UNSUPPORTED_SAMPLE_RATE",
    "unsupported_language": "UNSUPPORTED_LANGUAGE",
    "overloaded": "OVERLOADED",
    "invalid_request": "INVALID_CONFIG",
    "unsupported_feature": "INVALID_CONFIG",
    "translation_not_configured": "INVALID_CONFIG",
    "internal_error": "WEBSOCKET_ERROR",
}
"""Error codes of this dialect that are not the error's own code in capitals."""


class UnknownActionError(InvalidRequestError):
    code = "unknown_action"


class NativeFactory:
    """See the module."""

    name = "native"
    idle_s: float | None = None
    max_text_bytes = MAX_JSON_BYTES
    refuses_over_socket = True

    def key_of(self, handshake: Handshake) -> str | None:
        offered = [name.removeprefix(KEY_PREFIX) for name in handshake.subprotocols if name.startswith(KEY_PREFIX)]
        in_query = [value for name, value in handshake.query if name == "api_key"]
        return bearer(handshake.headers.get("authorization", "")) or next(iter(offered + in_query), None)

    def subprotocol_of(self, handshake: Handshake) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in handshake.subprotocols else None

    def open(self, handshake: Handshake, opening: ServerFacts) -> NativeDialect:
        asked = {name: value for name, value in handshake.query if name != "api_key"}
        opening.check_model(asked.pop("model", None))
        wished = changed(LiveOptions(), asked)
        options = opening.check(wished)
        check_turns(asked, options)
        return NativeDialect(opening, options, wished)

    def refusal(self, error: StenoError, request_id: str) -> Message:
        return error_message(error)

    def headers(self, request_id: str, error: StenoError | None = None) -> Mapping[str, str]:
        return {}


class NativeDialect:
    """One conversation."""

    follows_progress = False

    def __init__(self, opening: ServerFacts, options: LiveOptions, wished: LiveOptions) -> None:
        self._opening = opening
        self._options = options
        self.ignored = ignored(wished, options)

    @property
    def options(self) -> LiveOptions:
        return self._options

    def greeting(self) -> Sequence[Message]:
        options = self._options
        return [
            {
                "status": "connected",
                "session_id": self._opening.session_id,
                "model": self._opening.model_id,
                "sample_rate": options.sample_rate,
                "format": options.encoding,
                "buffer_size": BUFFER_BYTES,
                "window_max_s": self._opening.max_segment_s,
                **self._settings(),
            }
        ]

    def receive(self, frame: Frame) -> Sequence[Command]:
        if isinstance(frame, bytes):
            return [AudioInput(frame)]
        try:
            message = object_of(frame) if isinstance(frame, str) else None
            if message is None:
                text = 'a text frame must be a JSON object such as {"action": "flush"}; audio goes into binary frames'
                raise InvalidJsonError(text)
            return self._act(message)
        except StenoError as error:
            return [Reply(error_message(error), is_complaint=True)]

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        match event:
            case Partial():
                return [_partial(event)]
            case Final():
                failed = [error_message(event.error, event.segment_id)] if event.error else []
                return [*failed, _final(event, words=self._options.words, speakers=self._options.diarize)]
            case SpeakersChanged():
                segments = [{"segment_id": number, "speaker": name} for number, name in sorted(event.speakers.items())]
                return [{"status": "speakers", "segments": segments}]
            case Lagging():
                return [{"status": "lag", "behind_s": round(event.behind_s, 2), "rtf": round(event.rtf, 2)}]
            case Loading():
                return [{"status": "loaded" if event.is_over else "loading"}]
            case Draining():
                error = event.error
                return [
                    {"status": "draining", "message": error.message, "retry_after_s": math.ceil(error.retry_after_s)}
                ]
            case Failed():
                return [error_message(event.error)]
            case _:
                return []

    def outgoing(self, message: Message) -> Message:
        return message

    def farewell(self, audio_s: float) -> Sequence[Message]:
        return [{"status": "closed", "audio_s": round(audio_s, 3)}]

    def complaint(self, error: StenoError) -> Sequence[Message]:
        return [error_message(error)]

    def _act(self, message: Mapping[str, Any]) -> Sequence[Command]:
        match message.get("action"):
            case "flush":
                return [Flush()]
            case "reset":
                return [Reset(), Reply({"status": "buffer_reset"})]
            case "config":
                return self._configure({name: value for name, value in message.items() if name != "action"})
            case "ping":
                return [KeepAlive(), Reply({"status": "pong"})]
            case "close":
                return [Close()]
            case unknown:
                known = ", ".join(ACTIONS)
                raise UnknownActionError(f"unknown action {str(unknown)[:50]!r}; there are: {known}", param="action")

    def _configure(self, asked: Mapping[str, Any]) -> Sequence[Command]:
        for name in FIXED:
            if name in asked:
                raise InvalidRequestError(f"{name} is fixed once a session is open; connect anew", param=name)
        wished = changed(self._options, asked)
        options = self._opening.check(wished)
        check_turns(asked, options)
        self._options = options
        self.ignored = ignored(wished, self._options)
        return [Configure(self._options), Reply({"status": "configured", **self._settings()})]

    def _settings(self) -> Message:
        options = self._options
        return {
            "use_server_vad": options.endpointing,
            "turn_detection": options.turn_detection,
            "language": options.language,
            "words": options.words,
            "diarize": options.diarize,
            "translate_to": options.translate_to,
            "captions": options.captions,
            **({"ignored": self.ignored} if self.ignored else {}),
        }


def error_message(error: StenoError, segment_id: int | None = None) -> Message:
    message: Message = {
        "status": "error",
        "code": CODES.get(error.code, error.code.upper()),
        "message": error.message,
        "statusCode": status_of(error),
    }
    if error.param is not None:
        message["param"] = error.param
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        message["retry_after_s"] = math.ceil(retry_after_s)
    if segment_id is not None:
        message["segment_id"] = segment_id
    return message


def _partial(event: Partial) -> Message:
    return {
        "text": event.text,
        "is_partial": True,
        "is_final": False,
        "stable": event.stable,
        "draft": event.draft,
        "segment_id": event.segment_id,
        "start_s": rounded(event.start_s),
        "end_s": rounded(event.end_s),
        "language": event.language,
    }


def _final(event: Final, *, words: bool, speakers: bool) -> Message:
    message: Message = {
        "text": event.text,
        "is_partial": False,
        "is_final": True,
        "segment_id": event.segment_id,
        "start_s": rounded(event.start_s),
        "end_s": rounded(event.end_s),
        "language": event.language,
        "confidence": None if event.confidence is None else round(event.confidence, 4),
    }
    if words:
        message["words"] = [_word(word, speakers=speakers) for word in event.words]
        message["timing"] = event.timing
    if speakers:
        message["speaker"] = event.speaker
    if event.repetition:
        message["repetition"] = True
    if event.translation is not None:
        message["translation"] = event.translation
    if event.caption is not None:
        message["caption"] = event.caption
    return message


def _word(word: Word, *, speakers: bool) -> Message:
    confidence = None if word.confidence is None else round(word.confidence, 4)
    times = {"start_s": rounded(word.start_s), "end_s": rounded(word.end_s)}
    speaker = {"speaker": word.speaker, "other_speaker": word.other_speaker} if speakers else {}
    return {"word": word.text, **times, "confidence": confidence, **speaker}
