"""SubRip, as players read it: numbered cues, a comma before the milliseconds, an empty line after each cue.

It has no standard and no way to escape. Players take `<i>` and the like for markup; that is left as it was said. An
arrow `-->` becomes `->`, as in Whisper's files, lest a reader take its line for a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import clock, shown_lines, times_ms


def srt(cues: Iterable[Cue], *, first: int = 1) -> str:
    """The file's text, its cues numbered from `first` on. Cues with nothing to show are left out."""
    blocks: list[str] = []
    for cue in cues:
        if lines := [line.replace("-->", "->") for line in shown_lines(cue)]:
            start_ms, end_ms = times_ms(cue)
            head = f"{len(blocks) + first}\n{clock(start_ms, ',')} --> {clock(end_ms, ',')}"
            blocks.append("\n".join([head, *lines, ""]))
    return "\n".join(blocks)
