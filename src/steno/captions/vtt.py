"""WebVTT (W3C, https://www.w3.org/TR/webvtt1/): times with a point, and text in which `&`, `<` and `>` are escaped."""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import clock, printable, shown_lines, times_ms

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def vtt(cues: Iterable[Cue], *, language: str | None = None, voices: bool = False) -> str:
    """The file's text, with the language in a note if one is given. Cues without visible text are skipped.

    The header has no lines of its own: some parsers (node-webvtt, webvtt-parser) refuse a file without a blank line
    right after the signature. `voices`: put each line of a known speaker into a voice tag.
    """
    blocks = ["WEBVTT\n"]
    if language:
        blocks.append(f"NOTE Language: {' '.join(language.split()).translate(_ESCAPES)}\n")
    for cue in cues:
        if lines := shown_lines(cue):
            start_ms, end_ms = times_ms(cue)
            head = f"{clock(start_ms, '.')} --> {clock(end_ms, '.')}"
            lines = [line.translate(_ESCAPES) for line in lines]
            if voices and len(cue.speakers) == len(lines):
                lines = [_voiced(line, speaker) for line, speaker in zip(lines, cue.speakers, strict=True)]
            blocks.append("\n".join([head, *lines, ""]))
    return "\n".join(blocks)


def _voiced(line: str, speaker: str) -> str:
    """In an annotation, `&` and `>` are escaped, and a line break would end the cue."""
    return f"<v {printable(speaker).translate(_ESCAPES)}>{line}</v>" if speaker else line
