"""For NVIDIA NeMo: a manifest with a line for each segment."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from steno.archive.exports.exported_recording import ExportedRecording
from steno.captions.cues import CueStyle
from steno.whole_file import new_file


def export_nemo(recordings: Iterable[ExportedRecording], output: Path, style: CueStyle) -> None:
    """Write `manifest.jsonl`."""
    with new_file(output / "manifest.jsonl") as file:
        for recording in recordings:
            for segment in recording.transcript.segments:
                entry = {
                    "audio_filepath": str(recording.audio),
                    "offset": round(segment.start_s, 4),
                    "duration": round(segment.end_s - segment.start_s, 4),
                    "text": segment.text,
                    **({"speaker": recording.speaker_of(segment)} if segment.speaker else {}),
                    **({"lang": segment.language} if segment.language else {}),
                }
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")
