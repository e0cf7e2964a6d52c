"""Subtitles: an SRT file for each recording."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from steno.archive.exports.exported_recording import ExportedRecording
from steno.captions.cues import CueStyle
from steno.captions.formats import render
from steno.pipelines.subtitle import subtitles_of
from steno.whole_file import write_whole


def export_srt(recordings: Iterable[ExportedRecording], output: Path, style: CueStyle) -> None:
    """Write `ID.srt` for each recording."""
    for recording in recordings:
        transcript = recording.transcript.transcript()
        cues = subtitles_of(transcript, style, "accurate", "dash").cues
        text = render("srt", cues, language=transcript.language, labels="dash")
        write_whole(output / f"{recording.id}.srt", text.rstrip("\n") + "\n")
