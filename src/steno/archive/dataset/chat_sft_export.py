"""The dataset `chat-sft` of an archive."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from steno.alignment.heuristic import spread
from steno.archive.archive_folder import ArchiveFolder
from steno.archive.chat_files import ChatMessages
from steno.archive.dataset.chat_example import ChatRecording
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.archive.dataset.dataset_parquet import write_parquet
from steno.archive.dataset.dataset_report import write_report
from steno.archive.dataset.dataset_writer import DatasetSummary, Loader, write_dataset
from steno.archive.exports.exported_recording import ExportedRecording, ExportReport, exported_recording
from steno.archive.manifest import RecordingManifest
from steno.archive.stage_files import load
from steno.archive.stages.aligned_stage import placed_messages
from steno.errors import ArchiveError
from steno.types import Word
from steno.whole_file import write_whole

SALT_FILE = "chat-sft.salt"
"""In the archive, and in no dataset: who has it can find out which hash is whose."""
SALT_BYTES = 32


@dataclass(slots=True)
class ChatExport:
    """What was exported."""

    summary: DatasetSummary
    has_parquet: bool
    left_out: dict[str, str] = field(default_factory=dict)
    """Recordings with a chat that are not in it, and why."""


def export_chat_sft(
    archive: ArchiveFolder,
    output: Path,
    options: DatasetOptions,
    min_confidence: float = 0.0,
    on_progress: Callable[[float, str], None] = lambda _share, _name: None,
) -> ChatExport:
    """Write the dataset, its report, and Parquet where pyarrow is installed.

    Args:
        min_confidence: words of segments below it count as not said, as those of rejected segments do.
        on_progress: gets the share that is done, and the recording that comes now.

    Raises:
        ArchiveError: a result is invalid.
        UnsupportedFeatureError: matplotlib is not installed.
    """
    left_out: dict[str, str] = {}
    loaders = dict(_loaders(archive, min_confidence, left_out))
    places = {name: at / max(len(loaders), 1) for at, name in enumerate(sorted(loaders))}
    summary = write_dataset(loaders, output, options, _salt(archive), lambda name: on_progress(places[name], name))
    write_report(summary, output)
    return ChatExport(summary, write_parquet(output), left_out)


def _loaders(archive: ArchiveFolder, min_confidence: float, left_out: dict[str, str]) -> Iterator[tuple[str, Loader]]:
    for name in archive.ids():
        manifest = archive.manifest(name)
        if manifest.chat_source is None:
            continue
        reason = _reason(manifest)
        if reason is not None:
            left_out[name] = reason
        else:
            yield name, partial(_recording, archive, name, min_confidence)


def _reason(manifest: RecordingManifest) -> str | None:
    """Why a recording with a chat cannot be used."""
    if manifest.transcript is None or manifest.consistent("chat") is None:
        return "was not run, or was changed since; use steno archive run"
    if manifest.clock is None or not manifest.clock.segments:
        return "its chat's clock was not found; use steno archive review"
    return None


def _recording(archive: ArchiveFolder, name: str, min_confidence: float) -> ChatRecording:
    """The messages are placed by the clock in use, which may be newer than the result of `aligned`."""
    manifest = archive.manifest(name)
    exported = exported_recording(archive, manifest, min_confidence, ExportReport())
    chat, clock = archive.result_file(manifest, "chat"), manifest.clock
    if exported is None or chat is None or clock is None or manifest.consistent("chat") is None:
        raise ArchiveError(f"{name} was changed during the export")
    results = [manifest.transcript, manifest.consistent("chat")]
    inputs: dict[str, str] = {result.stage: result.files[0].sha256 for result in results if result is not None}
    inputs["clock"] = json.dumps([segment.model_dump() for segment in clock.segments])
    messages = placed_messages(load(ChatMessages, chat).messages, clock)
    return ChatRecording(name, manifest.duration_s or 0.0, tuple(_words(exported)), messages, inputs)


def _words(exported: ExportedRecording) -> Iterator[Word]:
    """With estimated times where none were measured; a word without a confidence has its segment's."""
    for segment in exported.transcript.segments:
        words = segment.words or spread(segment.text, segment.start_s, segment.end_s, segment.language)
        for word in words:
            confidence = segment.confidence if word.confidence is None else word.confidence
            yield Word(word.text, word.start_s, word.end_s, confidence)


def _salt(archive: ArchiveFolder) -> bytes:
    path = archive.path / SALT_FILE
    if not path.exists():
        write_whole(path, secrets.token_hex(SALT_BYTES) + "\n", lasting=True)
        path.chmod(0o600)
    return path.read_text(encoding="ascii").strip().encode()
