"""What is exported of an archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from steno.archive.archive_folder import ArchiveFolder
from steno.archive.manifest import RecordingManifest
from steno.archive.stage_files import TimedTranscript, load
from steno.types import SAMPLE_RATE, Segment


@dataclass(frozen=True, slots=True)
class ExportedRecording:
    """A recording with the segments that are exported."""

    manifest: RecordingManifest
    audio: Path
    """FLAC, mono, `SAMPLE_RATE`."""
    transcript: TimedTranscript

    @property
    def id(self) -> str:
        return self.manifest.id

    def speaker_of(self, segment: Segment) -> str | None:
        """The segment's speaker, by a name that no other recording uses; None if the speakers are not known."""
        return f"{self.id}-{segment.speaker}" if segment.speaker is not None else None

    @property
    def samples(self) -> int:
        return round((self.manifest.duration_s or 0.0) * SAMPLE_RATE)


@dataclass(slots=True)
class ExportReport:
    """What an export has and lacks."""

    recordings: int = 0
    segments: int = 0
    speech_s: float = 0.0
    rejected: int = 0
    """Segments that somebody rejected."""
    unsure: int = 0
    """Segments below the least confidence."""
    incomplete: list[str] = field(default_factory=list)
    """Recordings without a transcript of the audio in use."""


def exported_recordings(
    archive: ArchiveFolder, min_confidence: float, report: ExportReport
) -> Iterator[ExportedRecording]:
    """The recordings that have a transcript of the audio in use, without the segments that were rejected or are unsure.

    Args:
        report: is filled while the recordings are iterated.

    Raises:
        ManifestError, ArchiveError: a manifest or a result is invalid.
    """
    for recording in archive.ids():
        exported = exported_recording(archive, archive.manifest(recording), min_confidence, report)
        if exported is not None:
            yield exported


def exported_recording(
    archive: ArchiveFolder, manifest: RecordingManifest, min_confidence: float, report: ExportReport
) -> ExportedRecording | None:
    """One recording, as `exported_recordings`; None if the audio in use has no transcript. Adds to `report`."""
    path, audio = archive.transcript_file(manifest), archive.result_file(manifest, "audio")
    if path is None or audio is None:
        report.incomplete.append(manifest.id)
        return None
    transcript = load(TimedTranscript, path)
    kept = tuple(each for each in transcript.segments if _is_kept(each, manifest, min_confidence, report))
    report.recordings += 1
    report.segments += len(kept)
    report.speech_s += sum(segment.end_s - segment.start_s for segment in kept)
    return ExportedRecording(manifest, audio.resolve(), transcript.model_copy(update={"segments": kept}))


def _is_kept(segment: Segment, manifest: RecordingManifest, min_confidence: float, report: ExportReport) -> bool:
    if manifest.verdict_on(segment.start_s, segment.end_s) == "rejected":
        report.rejected += 1
        return False
    if segment.confidence is not None and segment.confidence < min_confidence:
        report.unsure += 1
        return False
    return True
