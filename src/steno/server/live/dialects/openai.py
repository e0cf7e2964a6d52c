"""OpenAI Realtime, its transcription sessions: `/v1/realtime?intent=transcription`.

Names are the current ones, or the beta's if a client requests them (`OpenAI-Beta: realtime=v1`) or updates its
session in the beta's way. `error` is sent for failures only: several clients end the session at the first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.live.live_options import LiveOptions
from steno.pipelines.live.notices import Draining, Failed, LiveEvent
from steno.server.http.error_response import body_of
from steno.server.live.dialects import openai_session as sessions
from steno.server.live.dialects.base import (
    AudioInput,
    Command,
    Configure,
    Flush,
    Frame,
    Handshake,
    InvalidJsonError,
    LargeFrame,
    Message,
    Reply,
    Reset,
    ServerFacts,
)
from steno.server.live.dialects.frames import MAX_JSON_BYTES, audio_of, object_of
from steno.server.live.dialects.openai_items import SILENCE_S, ConversationItems
from steno.server.live.dialects.openai_messages import (
    MIN_COMMIT_S,
    CommitEmptyError,
    InvalidValueError,
    UnknownEventError,
    UnsupportedEventError,
    draining_event,
    error_event,
    event,
)
from steno.server.live.dialects.openai_session import RealtimeSettings
from steno.server.middleware.auth import bearer

SUBPROTOCOL = "realtime"
KEY_PREFIX = "openai-insecure-api-key."
"""A browser cannot set headers, but it can offer subprotocols."""
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
CONVERSATION_MODELS = ("gpt-realtime", "gpt-4o-realtime")
"""Clients name the conversation's model in the URL, the transcription's in the session."""
MAX_EVENT_ID = 512
EVENTS = (
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
)
CONVERSATION_EVENTS = ("response.", "conversation.", "output_audio_buffer.")


class OpenAiRealtimeFactory:
    """See the module."""

    name = "openai"
    idle_s: float | None = None
    max_text_bytes = 4 * 2**20
    """Max bytes of a text frame: an `append` of over a minute. OpenAI accepts 15 MiB."""
    refuses_over_socket = False

    def key_of(self, handshake: Handshake) -> str | None:
        headers = handshake.headers
        offered = (name.removeprefix(KEY_PREFIX) for name in handshake.subprotocols if name.startswith(KEY_PREFIX))
        return bearer(headers.get("authorization", "")) or headers.get("api-key") or next(offered, None)

    def subprotocol_of(self, handshake: Handshake) -> str | None:
        return SUBPROTOCOL if SUBPROTOCOL in handshake.subprotocols else None

    def open(self, handshake: Handshake, opening: ServerFacts) -> OpenAiRealtimeDialect:
        query = dict(handshake.query)
        intent = query.get("intent", "transcription")
        if intent != "transcription":
            text = f"intent={intent[:50]!r}: this server transcribes only; use intent=transcription"
            raise InvalidRequestError(text, param="intent")
        asked = query.get("model") or opening.model_id
        model = opening.model_id if asked.startswith(CONVERSATION_MODELS) else asked
        opening.check_model(model)
        beta = handshake.headers.get("openai-beta", "").replace(" ", "").split(",")
        is_beta = "realtime=v1" in beta or BETA_SUBPROTOCOL in handshake.subprotocols
        return OpenAiRealtimeDialect(opening, sessions.changed(sessions.default(model), {}, opening), is_beta=is_beta)

    def refusal(self, error: StenoError, request_id: str) -> Message:
        return body_of(error, request_id)

    def headers(self, request_id: str, error: StenoError | None = None) -> Mapping[str, str]:
        return {}


OPENAI_REALTIME = OpenAiRealtimeFactory()


class OpenAiRealtimeDialect:
    """One conversation; only the user's part is supported."""

    follows_progress = True

    def __init__(self, opening: ServerFacts, settings: RealtimeSettings, *, is_beta: bool = False) -> None:
        self._opening = opening
        self._settings = settings
        self._items = ConversationItems()
        self._items.is_beta = is_beta
        self._items.speakers = settings.options.diarize
        self._uncommitted_s = 0.0
        """Seconds of audio since the last commit or clear."""

    @property
    def options(self) -> LiveOptions:
        return self._settings.options

    @property
    def ignored(self) -> Sequence[str]:
        return self._settings.ignored

    def greeting(self) -> Sequence[Message]:
        return [self._session_event("created")]

    def receive(self, frame: Frame) -> Sequence[Command]:
        client_event_id = None
        try:
            message = _message(frame)
            client_event_id = _event_id(message.get("event_id"))
            return self._act(message)
        except StenoError as error:
            return [Reply(error_event(error, client_event_id), is_complaint=True)]

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        if isinstance(event, Failed):
            return [error_event(event.error)]
        if isinstance(event, Draining):
            # No `error`: clients that end the session at the first one would lose the utterance.
            return [draining_event(event.error)]
        return self._items.encode(event)

    def outgoing(self, message: Message) -> Message:
        return message

    def farewell(self, audio_s: float) -> Sequence[Message]:
        return []

    def complaint(self, error: StenoError) -> Sequence[Message]:
        return [error_event(error)]

    def _act(self, message: Mapping[str, Any]) -> Sequence[Command]:
        match message.get("type"):
            case "input_audio_buffer.append":
                return self._append(message.get("audio"))
            case "input_audio_buffer.commit":
                return self._commit(message.get("event_id"))
            case "input_audio_buffer.clear":
                self._uncommitted_s = 0.0
                self._items.clear()
                return [Reset(), Reply(event("input_audio_buffer.cleared"))]
            case "session.update":
                return self._update(message.get("session"))
            case "transcription_session.update":
                self._items.is_beta = True
                return self._update(message.get("session"))
            case str(name) if name.startswith(CONVERSATION_EVENTS):
                raise UnsupportedEventError(f"{name[:50]!r}: this server transcribes only", param="type")
            case unknown:
                text = f"unknown event type {str(unknown)[:50]!r}; there are: {', '.join(EVENTS)}"
                raise UnknownEventError(text, param="type")

    def _append(self, audio: object) -> Sequence[Command]:
        data = audio if isinstance(audio, bytes) else audio_of(audio) if isinstance(audio, str) else None
        if data is None:
            raise InvalidValueError("audio must be a base64 string", param="audio")
        self._uncommitted_s += len(data) / self._settings.bytes_per_s
        return [AudioInput(data)] if data else []

    def _commit(self, event_id: object) -> Sequence[Command]:
        audio_s = self._uncommitted_s
        if audio_s < MIN_COMMIT_S - 1e-6:
            raise CommitEmptyError(audio_s)
        self._uncommitted_s = 0.0
        # The replies go first: the flush's results may be sent at once.
        return [*map(Reply, self._items.commit(audio_s, _event_id(event_id))), Flush()]

    def _update(self, session: object) -> Sequence[Command]:
        self._settings = sessions.changed(self._settings, session, self._opening)
        options = self._settings.options
        self._items.is_manual = not options.endpointing
        self._items.is_live = self._settings.is_live
        self._items.logprobs = self._settings.logprobs
        self._items.speakers = options.diarize
        self._items.silence_s = SILENCE_S if options.silence_ms is None else options.silence_ms / 1000
        return [Configure(options), Reply(self._session_event("updated"))]

    def _session_event(self, what: str) -> Message:
        is_beta = self._items.is_beta
        described = sessions.described(self._settings, self._opening.session_id, is_beta=is_beta)
        unused = {"ignored": [*self._settings.ignored]} if self._settings.ignored else {}
        return event(f"{'transcription_session' if is_beta else 'session'}.{what}", session=described, **unused)


def _event_id(given: object) -> str | None:
    return given[:MAX_EVENT_ID] if isinstance(given, str) else None


def _message(frame: Frame) -> Mapping[str, Any]:
    if isinstance(frame, bytes):
        raise InvalidJsonError("frames are text; audio goes as base64 into input_audio_buffer.append")
    if isinstance(frame, LargeFrame):
        return {**_object(frame.rest), "audio": frame.audio}
    return _object(frame)


def _object(frame: str) -> Mapping[str, Any]:
    message = object_of(frame)
    if message is None:
        text = f'a frame must be a JSON object with a "type", of {MAX_JSON_BYTES} bytes without its base64'
        raise InvalidJsonError(text)
    return message
