"""LRC, the format of lyrics: `[mm:ss.xx]` and a line. A line stays until the next one; an empty one clears it.

It has no escapes. A bracket that could start a time within the text (`[12:30`, or `<12:30` of the word extension)
becomes a full-width one; others, as in `[Music]`, stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import shown_text, times_ms

CLEAR_AFTER_MS = 1000
"""A line is cleared if the next one starts this much later."""
_TAG = re.compile(r"[\[<](?=\s*\d+\s*:)")
_WIDE = {"[": "［", "<": "＜"}


def lrc(cues: Iterable[Cue]) -> str:
    """The file's text. Cues without visible text are skipped."""
    lines: list[str] = []
    ended_ms: int | None = None
    for cue in cues:
        text = without_tags(shown_text(cue))
        if not text:
            continue
        start_ms, end_ms = times_ms(cue)
        if ended_ms is not None and start_ms - ended_ms >= CLEAR_AFTER_MS:
            lines.append(f"[{lrc_time(ended_ms)}]")
        lines.append(f"[{lrc_time(start_ms)}]{text}")
        ended_ms = end_ms
    if ended_ms is not None:
        lines.append(f"[{lrc_time(ended_ms)}]")
    return "".join(line + "\n" for line in lines)


def without_tags(text: str) -> str:
    """The text with full-width brackets where a time tag could begin."""
    return _TAG.sub(lambda found: _WIDE[found.group()], text)


def lrc_time(time_ms: int) -> str:
    """`mm:ss.xx`, rounded to hundredths; minutes exceed 59, because there are no hours."""
    seconds, hundredths = divmod((time_ms + 5) // 10, 100)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:02}:{seconds:02}.{hundredths:02}"
