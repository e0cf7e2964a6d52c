"""Deepgram Flux, `/v2/listen`, as its SDK speaks it: a conversation of turns. `flux_options.py` reads the query.

A turn starts with its first text, not with the first sound, so that a cough does not interrupt an agent.
Differences to Deepgram: the text of words is as the model writes it, and without confidences each is 1; `Update`s come
with new text only.
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
from steno.server.live.dialects.flux_options import (
    ENGLISH_MODEL,
    FluxOptions,
    configured,
    flux_options,
)
from steno.server.live.dialects.flux_turn import FluxTurn
from steno.server.live.dialects.frames import object_of
from steno.streaming.events import Final, Partial, Reason, SpeechResumed, TurnJudged

TRIGGERS: Mapping[Reason, str] = {"endpoint": "timeout", "flush": "manual", "close": "manual"}
"""What ended a turn, by why its last segment ended."""


class MalformedMessageError(InvalidRequestError):
    code = "malformed_message"


class FluxFactory(DeepgramHandshake):
    """See the module."""

    name = "flux"
    idle_s: float | None = None

    def open(self, handshake: Handshake, opening: ServerFacts) -> FluxDialect:
        return FluxDialect(opening, flux_options(handshake.query))


class FluxDialect:
    """One conversation.

    Raises:
        InvalidRequestError: an option is not supported by the server.
    """

    follows_progress = False

    def __init__(self, opening: ServerFacts, options: FluxOptions) -> None:
        self._opening = opening
        self._options, self.ignored = self._checked(options)
        self._turn = self._new_turn(0)
        self._completeness: dict[int, float] = {}
        """Probability that a turn is complete, of segments that paused and have no final yet."""
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
            case Partial() if event.text:
                self._turn.began(event.start_s)
                self._turn.partial = event
                return [self._goes_on(event.end_s, event.segment_id), *self._ended_probably(event.end_s)]
            case TurnJudged():
                self._completeness[event.segment_id] = event.probability
                return self._ended_probably(event.at_s)
            case SpeechResumed():
                self._completeness.pop(event.segment_id, None)
                return self._resumed(event)
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

    def _new_turn(self, index: int) -> FluxTurn:
        return FluxTurn(index, self._options.language_hints, tells_languages=self._options.model != ENGLISH_MODEL)

    def _goes_on(self, end_s: float, segment_id: int) -> Message:
        """The turn's text has changed: its start, or an update."""
        event = "Update" if self._turn.is_told else "StartOfTurn"
        self._turn.is_told = True
        return self._turn.described(event, end_s, self._completeness.get(segment_id, 0.0))

    def _ended_probably(self, at_s: float) -> Sequence[Message]:
        """`EagerEndOfTurn`, once in each pause, if the client wants it and the judgement is clear enough."""
        turn, threshold = self._turn, self._options.thresholds.eager_eot_threshold
        if threshold is None or turn.is_eager or turn.partial is None:
            return []
        probability = self._completeness.get(turn.partial.segment_id, 0.0)
        if probability < threshold:
            return []
        turn.is_eager = True
        return [turn.described("EagerEndOfTurn", at_s, probability)]

    def _resumed(self, event: SpeechResumed) -> Sequence[Message]:
        """`TurnResumed`, if the client believes that the turn has probably ended. The next segment may be open before
        the final of this one is known."""
        turn = self._turn
        if not turn.is_eager or (turn.partial is not None and turn.partial.segment_id != event.segment_id):
            return []
        turn.is_eager = False
        return [turn.described("TurnResumed", event.at_s, 0.0)]

    def _segment_over(self, final: Final) -> Sequence[Message]:
        turn = self._turn
        probability = self._completeness.pop(final.segment_id, 0.0)
        if final.text:
            turn.began(final.start_s)
        turn.add(final)
        if final.reason == "cut":
            return [self._goes_on(final.end_s, final.segment_id)] if turn.has_text else []
        if not turn.has_text and not turn.is_told:
            self._turn = self._new_turn(turn.index)
            return []
        started = [] if turn.is_told else [self._goes_on(final.end_s, final.segment_id)]
        self._turn = self._new_turn(turn.index + 1)
        is_judged = final.reason == "endpoint" and probability >= self._options.thresholds.eot_threshold
        trigger = "model" if is_judged else TRIGGERS[final.reason]
        return [*started, {**turn.described("EndOfTurn", final.end_s, probability), "trigger": trigger}]


def _warning(error: StenoError) -> Message:
    return {"type": "Warning", "code": error.code.upper(), "description": error.message}


def _error(error: StenoError) -> Message:
    return {"type": "Error", "code": error.code.upper(), "description": error.message}
