"""Deepgram Flux, `/v2/listen`, as its SDK speaks it: a conversation of turns. `flux_options.py` reads the query.

A turn starts with its first text, not with the first sound, so that a cough interrupts nobody. Differences to Deepgram:
the text of words is as the model writes it, and without confidences each is 1; `Update`s come with new text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.live.live_options import LiveOptions, ignored
from steno.pipelines.live.notices import Draining, Failed, LiveEvent
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Command,
    Configure,
    Flush,
    Frame,
    Handshake,
    Message,
    Reply,
    ServerFacts,
)
from steno.server.live.dialects.deepgram_handshake import DeepgramHandshake
from steno.server.live.dialects.flux_options import FluxOptions, check_flux_model, configured, flux_options
from steno.server.live.dialects.flux_turn import FluxTurn
from steno.server.live.dialects.frames import object_of
from steno.streaming.events import Final, Partial, Reason, SpeechStarted

TRIGGERS: Mapping[Reason, str] = {"endpoint": "timeout", "flush": "manual", "close": "manual"}
"""What ended a turn, by why its last segment ended."""


class MalformedMessageError(InvalidRequestError):
    code = "malformed_message"


class FluxFactory(DeepgramHandshake):
    """See the module."""

    name = "flux"
    idle_s: float | None = None

    def open(self, handshake: Handshake, opening: ServerFacts) -> FluxDialect:
        options = flux_options(handshake.query)
        check_flux_model(options.model, opening.check_model)
        return FluxDialect(opening, options)


class FluxDialect:
    """One conversation.

    Raises:
        InvalidRequestError: an option is not supported by the server.
    """

    follows_progress = False

    def __init__(self, opening: ServerFacts, options: FluxOptions) -> None:
        self._opening = opening
        self._options, self.ignored = self._checked(options)
        self._turn = FluxTurn()
        self._sent = 0
        """Number of messages."""

    @property
    def options(self) -> LiveOptions:
        return self._options.live

    def greeting(self) -> Sequence[Message]:
        return [{"type": "Connected"}]

    def receive(self, frame: Frame) -> Sequence[Command]:
        if isinstance(frame, bytes):
            return [AudioInput(frame)] if frame else []
        try:
            message = object_of(frame) if isinstance(frame, str) else None
            if message is None:
                example = '{"type": "CloseStream"}'
                raise MalformedMessageError(f"a text message must be a JSON object such as {example}")
            return self._act(message)
        except MalformedMessageError as error:
            return [Reply(_warning(error), is_complaint=True)]

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        match event:
            case SpeechStarted():
                self._turn.began(event.start_s)
                return []
            case Partial() if event.text:
                return [self._goes_on(event.end_s, event)]
            case Final():
                return [*([_warning(event.error)] if event.error else []), *self._segment_over(event)]
            case Failed() | Draining():
                return [_warning(event.error)]
            case _:
                return []

    def outgoing(self, message: Message) -> Message:
        number, self._sent = self._sent, self._sent + 1
        return {**message, "request_id": self._opening.session_id, "sequence_id": number}

    def farewell(self, audio_s: float) -> Sequence[Message]:
        return []

    def complaint(self, error: StenoError) -> Sequence[Message]:
        return [_error(error)]

    def _act(self, message: Mapping[str, Any]) -> Sequence[Command]:
        match message.get("type"):
            case "ForceEndTurn":
                return [Flush()]
            case "CloseStream":
                return [Close()]
            case "Configure":
                return self._configure(message)
            case unknown:
                known = "Configure, ForceEndTurn, CloseStream"
                raise MalformedMessageError(f"unknown type {str(unknown)[:50]!r}; there are: {known}")

    def _configure(self, message: Mapping[str, Any]) -> Sequence[Command]:
        """Options of the connection stay unless the message changes them."""
        try:
            self._options, self.ignored = self._checked(configured(self._options, message))
        except InvalidRequestError as error:
            failure = {"type": "ConfigureFailure", "code": error.code.upper(), "description": error.message}
            return [Reply(failure, is_complaint=True)]
        options = self._options
        answer: Message = {
            "type": "ConfigureSuccess",
            "thresholds": options.thresholds.as_json(),
            "keyterms": [*options.live.hotwords],
        }
        if options.language_hints:
            answer["language_hints"] = [*options.language_hints]
        unused = {"ignored": [*self.ignored]} if self.ignored else {}
        return [Configure(options.live), Reply({**answer, **unused})]

    def _checked(self, options: FluxOptions) -> tuple[FluxOptions, Sequence[str]]:
        """The options as they will be used, and the unused hints by the client's names for them."""
        theirs = {"hotwords": "keyterm", "prompt": "keyterm", "language": "language_hint"}
        try:
            live = self._opening.check(options.live)
        except InvalidRequestError as error:
            raise type(error)(error.message, param=theirs.get(error.param or "", error.param)) from None
        return replace(options, live=live), [theirs[name] for name in ignored(options.live, live)]

    def _goes_on(self, end_s: float, partial: Partial | None = None, confidence: float = 0.0) -> Message:
        """The turn's text has changed: its start, or an update."""
        event = "Update" if self._turn.is_told else "StartOfTurn"
        self._turn.is_told = True
        return self._turn.described(event, end_s, confidence, partial)

    def _segment_over(self, final: Final) -> Sequence[Message]:
        self._turn.began(final.start_s)
        self._turn.add(final)
        if not self._turn.has_text:
            if final.reason != "cut":
                self._turn = replace(self._turn, start_s=None)
            return []
        if final.reason == "cut":
            return [self._goes_on(final.end_s)]
        started = [] if self._turn.is_told else [self._goes_on(final.end_s)]
        over = self._turn.described("EndOfTurn", final.end_s, 1.0)
        self._turn = self._turn.following()
        return [*started, {**over, "trigger": TRIGGERS[final.reason]}]


def _warning(error: StenoError) -> Message:
    return {"type": "Warning", "code": error.code.upper(), "description": error.message}


def _error(error: StenoError) -> Message:
    return {"type": "Error", "code": error.code.upper(), "description": error.message}
