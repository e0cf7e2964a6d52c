"""Subtitles as an HTTP answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from fastapi import Response

from steno.captions.cues import Cue
from steno.captions.formats import FORMATS, FormatName, render
from steno.pipelines.subtitle import Timing

UNSAFE = str.maketrans(dict.fromkeys(['"', "\\", "?", *map(chr, range(0x20)), "\x7f"], "_"))
"""What would end the name, or the header: control characters are allowed in no header (RFC 9110, 5.5)."""


def caption_response(
    cues: Sequence[Cue],
    form: FormatName,
    timing: Timing,
    headers: dict[str, str],
    *,
    language: str | None,
    upload: str | None,
) -> Response:
    """The file, named after the upload, and in `X-Timing-Mode` how its times were found."""
    kind = FORMATS[form]
    headers = {**headers, "X-Timing-Mode": timing.mode, "Content-Disposition": _attachment(upload, kind.extension)}
    if timing.reason:
        headers["X-Timing-Reason"] = timing.reason
    return Response(render(form, cues, language=language), media_type=kind.media_type, headers=headers)


def _attachment(upload: str | None, extension: str) -> str:
    """RFC 6266: a plain name for all, the real one for clients that read UTF-8."""
    stem = PurePosixPath((upload or "").replace("\\", "/")).stem[:150] or "transcript"
    plain = stem.encode("ascii", "replace").decode().translate(UNSAFE)
    encoded = quote((stem + extension).encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}{extension}\"; filename*=UTF-8''{encoded}"
