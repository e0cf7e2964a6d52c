"""Recordings, their reference texts, and their pieces, cut as in the server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steno.audio.decode import decode
from steno.errors import StenoError
from steno.pipelines.recording_reader import RecordingOpener, RecordingReaderSettings
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "src" / "steno" / "sample.flac"
FOLDERS = (ROOT / "tests" / "fixtures", ROOT / "tests" / "tiny" / "clips")
"""Recordings that are used without a folder."""

MEDIA = frozenset(
    (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".webm", ".mkv", ".mka", ".wma", ".aiff")
)
LISTS = ("clips.json", "transcripts.json")


@dataclass(frozen=True, slots=True)
class Reference:
    """The reference text of a recording."""

    text: str
    language: str | None = None
    """ISO 639."""
    words: tuple[tuple[str, float, float], ...] = ()
    """With start and end in seconds, if known."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A recording, decoded. `pieces` are all of it, in order."""

    name: str
    audio: Audio
    pieces: tuple[Audio, ...]
    reference: Reference | None

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def gather(folder: Path | None) -> tuple[list[Clip], dict[str, str]]:
    """The recordings below `folder`, or those of this repository, and the reason for each that cannot be read."""
    files = found(folder) if folder else [SAMPLE, *(file for own in FOLDERS if own.is_dir() for file in found(own))]
    clips: list[Clip] = []
    unreadable: dict[str, str] = {}
    for file in files:
        name = str(file.relative_to(folder or ROOT))
        try:
            audio = np.concatenate(list(decode(file, max_seconds=None)))
            clips.append(Clip(name, audio, asyncio.run(_cut(file)), reference_of(file)))
        except StenoError as error:
            unreadable[name] = error.message
    return clips, unreadable


def found(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in MEDIA and file.is_file())


def reference_of(file: Path) -> Reference | None:
    """Read from the text file beside it, or from a list in its folder, by its name with or without extension."""
    beside = file.with_suffix(".txt")
    if beside.is_file():
        return Reference(beside.read_text(encoding="utf-8-sig").strip())
    for listed in (file.with_name(name) for name in LISTS):
        if listed.is_file():
            entries = json.loads(listed.read_text(encoding="utf-8"))
            entry = entries.get(file.name, entries.get(file.stem))
            if entry is not None:
                return _reference(entry)
    return SAMPLE_SAYS if file == SAMPLE else None


SAMPLE_SAYS = Reference("The weather will be cold and clear in the morning, with a little rain in the afternoon.", "en")


def _reference(entry: str | dict[str, Any]) -> Reference:
    if isinstance(entry, str):
        return Reference(entry)
    words = tuple((str(word), float(start), float(end)) for word, start, end in entry.get("words", ()))
    return Reference(entry["text"], entry.get("language"), words)


async def _cut(file: Path) -> tuple[Audio, ...]:
    reader = RecordingOpener(RecordingReaderSettings()).open(file)
    pieces: list[Audio] = []
    try:
        while (piece := await reader.read()) is not None:
            pieces.append(piece.audio)
    finally:
        await reader.aclose()
    return tuple(pieces)
