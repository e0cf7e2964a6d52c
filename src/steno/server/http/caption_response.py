"""Subtitle files as HTTP responses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Response

from steno.captions.cues import Cue
from steno.captions.formats import FORMATS, FormatName, render
from steno.pipelines.subtitle import Timing

UNSAFE = str.maketrans(dict.fromkeys(['"', "\\", "?", *map(chr, range(0x20)), "\x7f"], "_"))
"""Replaces characters that would end the quoted name or the header, such as control characters (RFC 9110, 5.5)."""


def caption_response(
    cues: Sequence[Cue],
    form: FormatName,
    timing: Timing,
    headers: dict[str, str],
    *,
    language: str | None,
    upload: str | None,
) -> Response:
    """The subtitle file, named after the upload. `X-Timing-Mode` reports the source of its times."""
    kind = FORMATS[form]
    headers = {**headers, "X-Timing-Mode": timing.mode, "Content-Disposition": attachment(upload, kind.extension)}
    if timing.reason:
        headers["X-Timing-Reason"] = timing.reason
    return Response(render(form, cues, language=language), media_type=kind.media_type, headers=headers)


def attachment(upload: str | None, extension: str) -> str:
    """`Content-Disposition` of a file that is named after the upload.

    RFC 6266: an ASCII name for all clients, and the full name in UTF-8.
    """
    stem = PurePosixPath((upload or "").replace("\\", "/")).stem[:150] or "transcript"
    plain = stem.encode("ascii", "replace").decode().translate(UNSAFE)
    encoded = quote((stem + extension).encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}{extension}\"; filename*=UTF-8''{encoded}"
