"""SubRip (SRT), as players read it: numbered cues, a comma before the milliseconds, an empty line after each cue.

It has no standard and no escapes. Players interpret `<i>` and the like as markup; the text is left unchanged. An arrow
`-->` becomes `->`, as in Whisper's files, so that parsers do not read its line as a time.
"""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import clock, shown_lines, times_ms


def srt(cues: Iterable[Cue], *, first: int = 1) -> str:
    """The file's text, its cues numbered from `first` on. Cues without visible text are skipped."""
    blocks: list[str] = []
    for cue in cues:
        if lines := [line.replace("-->", "->") for line in shown_lines(cue)]:
            start_ms, end_ms = times_ms(cue)
            head = f"{len(blocks) + first}\n{clock(start_ms, ',')} --> {clock(end_ms, ',')}"
            blocks.append("\n".join([head, *lines, ""]))
    return "\n".join(blocks)
