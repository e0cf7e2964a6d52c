"""Shared by all formats: a cue's printable lines, and clock times."""

from __future__ import annotations

import re

from steno.captions.clock import ms
from steno.captions.cues import Cue

_LINE_ENDS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff]")
"""Characters that no player shows; a NUL crashes some parsers, and a BOM inside a file is invalid."""


def shown_lines(cue: Cue) -> list[str]:
    """The cue's lines without empty ones (in SRT and WebVTT an empty line ends the cue)."""
    lines = (_CONTROLS.sub("", part).strip() for line in cue.lines for part in _LINE_ENDS.split(line))
    return [line for line in lines if line]


def shown_text(cue: Cue) -> str:
    """The cue as one line."""
    return printable(cue.text or " ".join(cue.lines))


def printable(text: str) -> str:
    """The text as one line, without control characters."""
    return " ".join(_CONTROLS.sub("", text).split())


def times_ms(cue: Cue) -> tuple[int, int]:
    """Start and end in ms. Times of `cues_of` are whole milliseconds, so rounding cannot make cues overlap."""
    start_ms = ms(cue.start_s)
    return start_ms, max(ms(cue.end_s), start_ms)


def clock(time_ms: int, separator: str) -> str:
    """`HH:MM:SS,mmm`; hours have more digits if necessary."""
    seconds, rest_ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{rest_ms:03}"
