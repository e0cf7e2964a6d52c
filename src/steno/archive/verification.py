"""Compares an archive with its manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from steno.archive.archive_folder import MANIFEST, WORK, ArchiveFolder
from steno.archive.file_checksum import record_of
from steno.archive.manifest import FileRecord, RecordingManifest
from steno.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """A file that is not as the manifest says."""

    recording: str
    path: str
    problem: Literal["missing", "differs", "unreadable", "not in the manifest", "invalid manifest"]


def verify_recording(
    archive: ArchiveFolder, recording: str, read: Callable[[int], None] = lambda _bytes: None
) -> Iterator[Discrepancy]:
    """Compute the checksums of all files of a recording again. `read` gets the bytes of each file that was read."""
    try:
        manifest = archive.manifest(recording)
    except ManifestError:
        yield Discrepancy(recording, MANIFEST, "invalid manifest")
        return
    recorded = recorded_files(manifest)
    for file in recorded:
        problem = _problem(archive.path_of(recording, file), file)
        read(file.bytes)
        if problem is not None:
            yield Discrepancy(recording, file.path, problem)
    known = {MANIFEST, *(file.path for file in recorded)}
    folder = archive.folder_of(recording)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] != WORK and str(name) not in known:
            yield Discrepancy(recording, str(name), "not in the manifest")


def recorded_files(manifest: RecordingManifest) -> list[FileRecord]:
    """The last record of each file of a recording that exists: of earlier raw files, only the copies do.

    A result that was lost, and was made again with other content, has two records of one path.
    """
    return list({file.path: file for file in _records(manifest)}.values())


def _records(manifest: RecordingManifest) -> Iterator[FileRecord]:
    yield from (raw for raw in manifest.earlier_raw if not Path(raw.path).is_absolute())
    yield from (raw for raw in (manifest.raw, manifest.chat_raw) if raw is not None)
    yield from (clock.correlation for clock in manifest.clocks if clock.correlation is not None)
    yield from (file for result in manifest.results for file in result.files)


def _problem(path: Path, recorded: FileRecord) -> Literal["missing", "differs", "unreadable"] | None:
    try:
        return None if record_of(path, recorded.path) == recorded else "differs"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"
