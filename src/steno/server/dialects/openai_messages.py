"""OpenAI Realtime's frame around every event, and its error object.

Event and field names: https://platform.openai.com/docs/api-reference/realtime-server-events
"""

from __future__ import annotations

import secrets
from typing import Any

from steno.errors import InvalidRequestError, StenoError
from steno.server.dialects.base import Message
from steno.server.errors import body_of


class InvalidJsonError(InvalidRequestError):
    code = "invalid_json"


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


def new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(10)}"


def event(name: str, **fields: Any) -> Message:
    return {"event_id": new_id("event"), "type": name, **fields}


def error_event(error: StenoError, client_event_id: str | None = None) -> Message:
    """`client_event_id`: of the event that was wrong, if its sender gave it one."""
    return event("error", error={**error_of(error), "event_id": client_event_id})


def error_of(error: StenoError) -> Message:
    detail = body_of(error, "-")["error"]
    return {name: detail[name] for name in ("type", "code", "message", "param")}
