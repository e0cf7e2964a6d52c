"""Whisper's TSV: milliseconds and text, `start`, `end`, `text`, a header above them. Tabs in the text become spaces."""

from __future__ import annotations

from collections.abc import Iterable

from steno.captions.cues import Cue
from steno.captions.payload import shown_text, times_ms


def tsv(cues: Iterable[Cue]) -> str:
    """The file's text. Cues without visible text are skipped."""
    rows = ["start\tend\ttext\n"]
    for cue in cues:
        if text := shown_text(cue):
            start_ms, end_ms = times_ms(cue)
            rows.append(f"{start_ms}\t{end_ms}\t{text}\n")
    return "".join(rows)
