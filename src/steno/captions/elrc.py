"""Enhanced LRC (the A2 extension): LRC with a time before each word, and one behind the last.

[00:12.00]<00:12.00>Under <00:12.31>the <00:12.40>wide<00:12.90>
"""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.clock import ms
from steno.captions.lrc import CLEAR_AFTER_MS, lrc_time, without_tags
from steno.captions.payload import printable
from steno.captions.spaced_words import spaced_words
from steno.types import Segment


def elrc(lines: Iterable[Segment]) -> str:
    """The file's text. A line without words has no times within it; one without visible text is skipped."""
    rows: list[str] = []
    ended_ms: int | None = None
    for line in lines:
        text = _timed_text(line)
        if not text:
            continue
        if ended_ms is not None and ms(line.start_s) - ended_ms >= CLEAR_AFTER_MS:
            rows.append(f"[{lrc_time(ended_ms)}]")
        rows.append(f"[{lrc_time(ms(line.start_s))}]{text}")
        ended_ms = ms(line.end_s)
    if ended_ms is not None:
        rows.append(f"[{lrc_time(ended_ms)}]")
    return "".join(row + "\n" for row in rows)


def _timed_text(line: Segment) -> str:
    words = list(spaced_words(line))
    if not words:
        return without_tags(printable(line.text))
    timed = (f"{space}<{lrc_time(ms(word.start_s))}>{without_tags(word.text)}" for space, word in words)
    return "".join(timed) + f"<{lrc_time(ms(words[-1][1].end_s))}>"
