"""WebVTT (W3C, https://www.w3.org/TR/webvtt1/): times with a point, and text in which `&`, `<` and `>` are escaped."""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import clock, shown_lines, times_ms

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def vtt(cues: Iterable[Cue], *, language: str | None = None) -> str:
    """The file's text, with the language in a note if one is given. Cues without visible text are skipped.

    The header has no lines of its own: some parsers (node-webvtt, webvtt-parser) refuse a file without a blank line
    right after the signature.
    """
    blocks = ["WEBVTT\n"]
    if language:
        blocks.append(f"NOTE Language: {' '.join(language.split()).translate(_ESCAPES)}\n")
    for cue in cues:
        if lines := shown_lines(cue):
            start_ms, end_ms = times_ms(cue)
            head = f"{clock(start_ms, '.')} --> {clock(end_ms, '.')}"
            blocks.append("\n".join([head, *(line.translate(_ESCAPES) for line in lines), ""]))
    return "\n".join(blocks)
