"""The OpenAPI document: descriptions of responses, and its creation."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from steno.server.http.error_response import documented
from steno.server.http.transcript_json import DiarizedTranscript, JsonTranscript, VerboseTranscript
from steno.server.middleware.path_prefix import local_path


class OpenApiInThread:
    """Creates the OpenAPI document at its first request, off the event loop: it takes a tenth of a second, once."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and local_path(scope) == self._api.openapi_url and self._api.openapi_schema is None:
            await asyncio.to_thread(self._api.openapi)
        await self._app(scope, receive, send)


Responses = dict[int | str, dict[str, Any]]

REFUSALS: Responses = documented(400, 401, 404, 408, 413, 429, 500, 503, 504, 507)

_TEXT = {"schema": {"type": "string"}}
_CAPTIONS = {
    "application/x-subrip": _TEXT,
    "text/vtt": _TEXT,
    "text/plain": _TEXT,
    "text/tab-separated-values": _TEXT,
}
_JSON = JsonTranscript | VerboseTranscript | DiarizedTranscript

TRANSCRIPT: Responses = {
    200: {
        "description": "The transcript, in the requested format.",
        "model": _JSON,
        "content": {"text/event-stream": _TEXT, **_CAPTIONS},
    }
}
EVENTS: Responses = {200: {"content": {"text/event-stream": _TEXT}}}
CAPTIONS: Responses = {200: {"description": "A subtitle file.", "content": _CAPTIONS}}
ALIGNMENT: Responses = {
    200: {
        "description": "The lines with their times, in the requested format.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/AlignmentAnswer"}},
            **dict.fromkeys(
                ["text/plain", "application/x-subrip", "text/vtt", "text/x-ssa", "application/ttml+xml"], _TEXT
            ),
        },
    },
    **documented(422),
}
_JOB_FIELDS = {
    "kind": {"type": "string", "enum": ["transcription", "subtitles", "translation", "alignment"]},
    "file": {"type": "string", "format": "binary", "description": "The recording. Required without `audio_url`."},
    "audio_url": {"type": "string", "description": "Where the server gets the recording, once the job runs."},
    "callback_url": {"type": "string", "description": "Gets a signed POST when the job has ended."},
    "idempotency_key": {"type": "string", "description": "A job with a known key is not stored again."},
}
JOB_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["kind"],
                    "properties": _JOB_FIELDS,
                    "additionalProperties": {"type": "string", "description": "A field of the kind's own route."},
                }
            }
        },
    }
}
TRANSLATION: Responses = {
    200: {
        "description": "The translation, in the requested format.",
        "model": _JSON,
        "content": _CAPTIONS,
    }
}
