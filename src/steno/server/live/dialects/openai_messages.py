"""OpenAI Realtime's frame around every event, and its error object.

Event and field names: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.pipelines.speaker_labels import SpeakerRun
from steno.server.http.error_response import body_of
from steno.server.http.transcript_json import UNKNOWN_SPEAKER, LogProb
from steno.server.live.dialects.base import Message
from steno.types import Word

MIN_COMMIT_S = 0.1


class InvalidValueError(InvalidRequestError):
    code = "invalid_value"


class UnknownParameterError(InvalidRequestError):
    code = "unknown_parameter"


class UnknownEventError(InvalidRequestError):
    code = "unknown_event"


class UnsupportedEventError(InvalidRequestError):
    code = "unsupported"


class CommitEmptyError(InvalidRequestError):
    code = "input_audio_buffer_commit_empty"

    def __init__(self, audio_s: float) -> None:
        super().__init__(
            "Error committing input audio buffer: buffer too small. "
            f"Expected at least 100ms of audio, but buffer only has {1000 * audio_s:.2f}ms of audio."
        )


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"


def event(name: str, **fields: Any) -> Message:
    return {"event_id": new_id("event"), "type": name, **fields}


def error_event(error: StenoError, client_event_id: str | None = None) -> Message:
    """`client_event_id`: id of the invalid event, if it has one."""
    return event("error", error={**error_of(error), "event_id": client_event_id})


def draining_event(error: StenoError) -> Message:
    """An event that OpenAI's API does not have."""
    return event("steno.draining", message=error.message)


def error_of(error: StenoError) -> Message:
    detail = body_of(error, "-")["error"]
    if isinstance(error, InvalidRequestError):
        detail["type"] = "invalid_request_error"  # in HTTP some have a status, and so a type, of their own
    return {name: detail[name] for name in ("type", "code", "message", "param")}


def committed(item_id: str, previous_id: str | None, *, is_beta: bool) -> list[Message]:
    """An item's audio is complete."""
    name = "conversation.item.created" if is_beta else "conversation.item.added"
    return [
        event("input_audio_buffer.committed", previous_item_id=previous_id, item_id=item_id),
        event(name, previous_item_id=previous_id, item=item_object(item_id, None)),
    ]


def item_object(item_id: str, transcript: str | None) -> Message:
    content = [{"type": "input_audio", "transcript": transcript}]
    item = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
    return {**item, "content": content}


def segment_of(run: SpeakerRun) -> Message:
    """The fields of a `segment` event; times are seconds of the session's audio."""
    times = {"start": round(run.start_s, 3), "end": round(run.end_s, 3)}
    return {"id": new_id("seg"), "text": run.text, "speaker": run.speaker or UNKNOWN_SPEAKER, **times}


def logprobs_of(words: Sequence[Word]) -> list[Message]:
    """One a word, of those whose confidence is known."""
    return [
        LogProb(
            token=word.text, logprob=math.log(max(word.confidence, 1e-10)), bytes=[*word.text.encode()]
        ).model_dump()
        for word in words
        if word.confidence is not None
    ]
