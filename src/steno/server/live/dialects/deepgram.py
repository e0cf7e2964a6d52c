"""Deepgram's live dialect, `/v1/listen`, as its SDKs speak it. `deepgram_options.py` reads the query.

Differences: the text is as the model writes it, regardless of formatting options, and without confidences each is 1.
Only message types that the SDKs know are sent: others break them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.live.live_options import LiveOptions, ignored
from steno.pipelines.live.notices import Draining, Failed, LiveEvent
from steno.server.http.deepgram_answer import diarize_info, model_info, model_uuid, timestamp, wire_word
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Command,
    Configure,
    Flush,
    Frame,
    Handshake,
    KeepAlive,
    Message,
    Reply,
    ServerFacts,
)
from steno.server.live.dialects.deepgram_handshake import DeepgramHandshake
from steno.server.live.dialects.deepgram_options import DeepgramOptions, check_model, checked, new_terms, wishes_of
from steno.server.live.dialects.event_words import words_of_event
from steno.server.live.dialects.frames import object_of, rounded
from steno.speakers.speaker_names import letters
from steno.streaming.events import AssumedSilence, AudioProgress, Final, Partial, Silence, SpeechStarted
from steno.types import Word

CHANNEL = [0, 1]
"""The first of one."""
NUMBERS = {name: number for number, name in enumerate(letters())}
"""Deepgram's speakers are numbers."""
MAX_ECHO = 200
"""Max characters of an invalid message that are quoted in the response."""


class SchemaError(InvalidRequestError):
    code = "SchemaError"
    """The SDK's name for an unknown text message."""


class DeepgramFactory(DeepgramHandshake):
    """See the module.

    Args:
        now: the time of day, in UTC.
    """

    name = "deepgram"
    idle_s: float | None = 10.0

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    def open(self, handshake: Handshake, opening: ServerFacts) -> DeepgramDialect:
        wishes = wishes_of(handshake.query)
        model_id = check_model(wishes.model, opening.check_model)
        return DeepgramDialect(opening, checked(wishes, opening.check), model_id, self._now())


class DeepgramDialect:
    """One conversation."""

    def __init__(self, opening: ServerFacts, wishes: DeepgramOptions, model_id: str, created: datetime) -> None:
        self._opening = opening
        self._wishes = wishes
        self._options = wishes.live
        self.ignored: Sequence[str] = wishes.ignored
        self._created = created
        self._received = hashlib.sha256()
        self._utterances = None if wishes.utterance_end_s is None else _Utterances(wishes.utterance_end_s)
        self.follows_progress = self._utterances is not None
        self._model, self._model_uuid = model_info(model_id), model_uuid(model_id)

    @property
    def options(self) -> LiveOptions:
        return self._options

    def greeting(self) -> Sequence[Message]:
        return []

    def receive(self, frame: Frame) -> Sequence[Command]:
        if isinstance(frame, bytes):
            self._received.update(frame)
            return [AudioInput(frame)] if frame else [Close()]  # an empty one was how to close before `CloseStream`
        try:
            message = object_of(frame) if isinstance(frame, str) else None
            if message is None:
                text = 'a text message must be a JSON object such as {"type": "KeepAlive"}; audio goes into binary ones'
                raise SchemaError(text)
            return self._act(message)
        except SchemaError as error:
            return [Reply(_error(error, frame[:MAX_ECHO] if isinstance(frame, str) else None), is_complaint=True)]

    def encode(self, event: LiveEvent) -> Sequence[Message]:
        ended_s = self._utterances.ended(event) if self._utterances else None
        ended = [] if ended_s is None else [_utterance_end(ended_s)]
        match event:
            case SpeechStarted() if self._wishes.vad_events:
                started = {"type": "SpeechStarted", "channel": CHANNEL, "timestamp": rounded(event.onset_s)}
                return [*ended, started]
            case Partial() if self._wishes.interim_results:
                return [self._results(event, is_final=False)]
            case Final():
                failed = [_error(event.error)] if event.error else []
                speech_final, from_finalize = event.reason == "endpoint", event.reason == "flush"
                told = self._results(event, is_final=True, speech_final=speech_final, from_finalize=from_finalize)
                return [*failed, told, *ended]
            case Silence():
                return [self._results(event, is_final=True)]
            case Failed() | Draining():
                return [_error(event.error)]
            case _:
                return ended

    def outgoing(self, message: Message) -> Message:
        return message

    def farewell(self, audio_s: float) -> Sequence[Message]:
        return [
            {
                "type": "Metadata",
                "transaction_key": "deprecated",
                "request_id": self._opening.session_id,
                "sha256": self._received.hexdigest(),
                "created": timestamp(self._created),
                "duration": rounded(audio_s),
                "channels": 1,
                "models": [self._model_uuid],
                "model_info": {self._model_uuid: self._model},
            }
        ]

    def complaint(self, error: StenoError) -> Sequence[Message]:
        return [_error(error)]

    def _act(self, message: Mapping[str, Any]) -> Sequence[Command]:
        match message.get("type"):
            case "KeepAlive":
                return [KeepAlive()]
            case "Finalize":
                return [Flush()]
            case "CloseStream":
                return [Close()]
            case "Configure":
                return self._configure(message)
            case unknown:
                known = "KeepAlive, Finalize, CloseStream, Configure"
                raise SchemaError(f"unknown type {str(unknown)[:50]!r}; there are: {known}")

    def _configure(self, message: Mapping[str, Any]) -> Sequence[Command]:
        """Options of the connection stay unless the message changes them."""
        answer: Message = {"type": "ConfigureSuccess", "request_id": self._opening.session_id}
        try:
            keyterms = new_terms(message, diarize=self._options.diarize)
            if keyterms is None:
                return [Reply(answer)]
            wished = replace(self._options, hotwords=tuple(keyterms))
            self._options = self._opening.check(wished)
        except InvalidRequestError as error:
            return [Reply(self._configure_failure(error), is_complaint=True)]
        unused = {"ignored": ["keyterms"]} if ignored(wished, self._options) else {}
        return [Configure(self._options), Reply({**answer, "keyterms": [*self._options.hotwords], **unused})]

    def _configure_failure(self, error: InvalidRequestError) -> Message:
        code = "CONFIGURE_INTERNAL_ERROR"  # of Deepgram's four the one for all else
        if error.param == "prompt":
            code = "CONFIGURE_KEYTERM_LIMIT_EXCEEDED"
        return {
            "type": "ConfigureFailure",
            "request_id": self._opening.session_id,
            "code": code,
            "description": error.message,
        }

    def _results(
        self,
        event: Partial | Final | Silence,
        *,
        is_final: bool,
        speech_final: bool = False,
        from_finalize: bool = False,
    ) -> Message:
        """Ends are rounded before subtraction, so that ranges are adjacent."""
        start, end = rounded(event.start_s), rounded(event.end_s)
        return {
            "type": "Results",
            "channel_index": CHANNEL,
            "start": start,
            "duration": rounded(end - start),
            "is_final": is_final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [self._alternative(event)]},
            "metadata": {
                "request_id": self._opening.session_id,
                "model_info": self._model,
                "model_uuid": self._model_uuid,
                **(diarize_info() if self._options.diarize else {}),
            },
        }

    def _alternative(self, event: Partial | Final | Silence) -> Message:
        if isinstance(event, Silence) or not event.text:
            return {"transcript": "", "confidence": 0.0, "words": []}
        words = words_of_event(event)
        confidence = event.confidence if isinstance(event, Final) else None
        if confidence is None:
            known = [word.confidence for word in words if word.confidence is not None]
            confidence = sum(known) / len(known) if known else 1.0
        language = event.language if self._wishes.multilingual else None
        return {
            "transcript": event.text,
            "confidence": round(confidence, 4),
            "words": [_word(word, confidence, language) for word in words],
            **({"languages": [language]} if language else {}),
        }


class _Utterances:
    """Detects the end of an utterance: no word for `gap_s` of the stream's time, and no open segment."""

    def __init__(self, gap_s: float) -> None:
        self._gap_s = gap_s
        self._speaking: set[int] = set()
        """Segments without a final."""
        self._heard_s = 0.0
        self._last_word_s: float | None = None

    def ended(self, event: LiveEvent) -> float | None:
        """End of the utterance's last word if this event ends it, once per utterance; else None."""
        match event:
            case SpeechStarted():
                # Only the last of several `AudioProgress` is kept: the silence before this may not have been seen.
                over = self._over(event.onset_s)
                self._speaking.add(event.segment_id)
                return over
            case Final():
                self._speaking.discard(event.segment_id)
                self._heard_s = max(self._heard_s, event.end_s)
                if words := words_of_event(event):
                    self._last_word_s = words[-1].end_s
            case AudioProgress():
                self._heard_s = max(self._heard_s, event.until_s)
            case AssumedSilence():
                return self._over(event.at_s + event.seconds)
            case _:
                return None
        return self._over(self._heard_s)

    def _over(self, now_s: float) -> float | None:
        if self._speaking or self._last_word_s is None or now_s - self._last_word_s < self._gap_s:
            return None
        last_word_s, self._last_word_s = self._last_word_s, None
        return last_word_s


def _utterance_end(last_word_s: float) -> Message:
    return {"type": "UtteranceEnd", "channel": CHANNEL, "last_word_end": rounded(last_word_s)}


def _error(error: StenoError, message: str | None = None) -> Message:
    told = error.message if message is None else message
    return {"type": "Error", "variant": error.code, "description": error.message, "message": told}


def _word(word: Word, confidence: float, language: str | None) -> Message:
    speaker = {} if word.speaker is None else {"speaker": NUMBERS[word.speaker]}
    return {**wire_word(word, confidence), **speaker, **({"language": language} if language else {})}
