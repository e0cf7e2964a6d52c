"""What all formats need of a cue: lines that a file can hold, and clock times."""

from __future__ import annotations

import re

from steno.captions.clock import ms
from steno.captions.cues import Cue

_LINE_ENDS = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ufeff]")
"""Characters that no player shows; a NUL ends some parsers' day, and a BOM inside a file is none."""


def shown_lines(cue: Cue) -> list[str]:
    """The cue's lines without those that show nothing (in SRT and WebVTT an empty line would end the cue)."""
    lines = (_CONTROLS.sub("", part).strip() for line in cue.lines for part in _LINE_ENDS.split(line))
    return [line for line in lines if line]


def shown_text(cue: Cue) -> str:
    """The cue in one line."""
    text = cue.text or " ".join(cue.lines)
    return " ".join(_CONTROLS.sub("", text).split())


def times_ms(cue: Cue) -> tuple[int, int]:
    """Start and end. What `cues_of` makes is in whole milliseconds, so rounding cannot make cues overlap."""
    start_ms = ms(cue.start_s)
    return start_ms, max(ms(cue.end_s), start_ms)


def clock(time_ms: int, separator: str) -> str:
    """`HH:MM:SS,mmm`; hours take more digits when they need them."""
    seconds, rest_ms = divmod(time_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{rest_ms:03}"
