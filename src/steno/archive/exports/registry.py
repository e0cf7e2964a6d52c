"""The formats of exports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from steno.archive.exports.exported_recording import ExportedRecording
from steno.archive.exports.lhotse_export import export_lhotse
from steno.archive.exports.nemo_export import export_nemo
from steno.archive.exports.parquet_export import export_parquet
from steno.archive.exports.srt_export import export_srt
from steno.captions.cues import CueStyle

Exporter: TypeAlias = Callable[[Iterable[ExportedRecording], Path, CueStyle], None]
"""Writes files into a folder. The style is that of subtitles."""

EXPORTERS: Mapping[str, Exporter] = {
    "lhotse": export_lhotse,
    "nemo": export_nemo,
    "hf": export_parquet,
    "srt": export_srt,
}
