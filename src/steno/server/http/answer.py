"""A result that is independent of the request: what is cached, and what jobs keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Response
from pydantic import BaseModel

UNSAFE = str.maketrans(dict.fromkeys(['"', "\\", "?", *map(chr, range(0x20)), "\x7f"], "_"))
"""Replaces characters that would end the quoted name or the header, such as control characters (RFC 9110, 5.5)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of work on a recording, in the requested format."""

    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    extension: str | None = None
    """Of a file that clients save, like `.srt`; None = the body is the response."""

    def response(self, headers: Mapping[str, str], recording_name: str | None) -> Response:
        """The HTTP response. A file is named after the recording."""
        merged = {**self.headers, **headers}
        if self.extension is not None:
            merged["Content-Disposition"] = attachment(recording_name, self.extension)
        return Response(self.body, media_type=self.media_type, headers=merged)


def json_answer(body: BaseModel, headers: Mapping[str, str]) -> Answer:
    """Serialise without fields that are None. Call it in a thread: hours of words take tenths of a second."""
    return Answer(body.model_dump_json(exclude_none=True).encode(), "application/json", headers)


def text_answer(text: str, headers: Mapping[str, str]) -> Answer:
    return Answer(f"{text}\n".encode(), "text/plain", headers)


def attachment(recording_name: str | None, extension: str) -> str:
    """`Content-Disposition` of a file that is named after the recording.

    RFC 6266: an ASCII name for all clients, and the full name in UTF-8.
    """
    stem = PurePosixPath((recording_name or "").replace("\\", "/")).stem[:150] or "transcript"
    plain = stem.encode("ascii", "replace").decode().translate(UNSAFE)
    encoded = quote((stem + extension).encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}{extension}\"; filename*=UTF-8''{encoded}"
