"""What routes answer, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from steno.server.errors import documented

Responses = dict[int | str, dict[str, Any]]

REFUSALS: Responses = documented(400, 401, 404, 408, 413, 415, 422, 429, 500, 503, 504)

_TEXT = {"schema": {"type": "string"}}
_CAPTIONS = {
    "application/x-subrip": _TEXT,
    "text/vtt": _TEXT,
    "text/plain": _TEXT,
    "text/tab-separated-values": _TEXT,
}
_JSON = {
    "schema": {
        "anyOf": [
            {"$ref": "#/components/schemas/JsonTranscript"},
            {"$ref": "#/components/schemas/VerboseTranscript"},
        ]
    }
}

TRANSCRIPT: Responses = {
    200: {
        "description": "The transcript, in the format asked for.",
        "content": {"application/json": _JSON, "text/event-stream": _TEXT, **_CAPTIONS},
    }
}
EVENTS: Responses = {200: {"content": {"text/event-stream": _TEXT}}}
CAPTIONS: Responses = {200: {"description": "A subtitle file.", "content": _CAPTIONS}}
TRANSLATION: Responses = {
    200: {
        "description": "The translation, in the format asked for.",
        "content": {"application/json": _JSON, **_CAPTIONS},
    }
}
