"""`steno archive status` and `verify`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steno.cli.archive_option import archive_option
from steno.cli.job_lines import clock
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.progress import RunProgress

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveFolder

SHOWN_S = 0.05


@dataclass(slots=True)
class ArchiveStatus:
    """What is in an archive."""

    recordings: int = 0
    audio_s: float = 0.0
    words: int = 0
    done: dict[str, int] = field(default_factory=dict)
    """Recordings that have a result of the audio and the chat log in use, by stage."""
    computed: dict[str, int] = field(default_factory=dict)
    """How often each stage was computed, over all runs."""
    computed_pieces: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """By stage and kind of work, over all runs that finished; `total` is wall time."""
    repeated: int = 0
    """Stages and pieces that were computed again from the same inputs."""
    invalid: list[str] = field(default_factory=list)
    """Recordings whose manifest is invalid."""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@archive_option
def status(as_json: bool, folder: Path) -> int:
    """Say what is in an archive, and what was computed for it.

    \b
    steno archive status
    steno archive status --json | jq .computed_pieces
    """
    from steno.archive.archive_folder import ArchiveFolder

    found = _status_of(ArchiveFolder.open(folder))
    if as_json:
        click.echo(json.dumps(asdict(found), indent=1))
    else:
        click.echo(f"{found.recordings} recordings, {clock(found.audio_s)} of audio, {found.words} words")
        for stage, done in found.done.items():
            pieces = f", {found.computed_pieces[stage]} pieces" if stage in found.computed_pieces else ""
            computed = f"computed {found.computed.get(stage, 0)}{pieces}"
            click.echo(f"  {stage:<11}{done} of {found.recordings}; {computed}{_times(found.seconds.get(stage, {}))}")
    for recording in found.invalid:
        click.echo(f"steno: {recording}: the manifest is invalid", err=True)
    return EXIT_FAILED if found.invalid else 0


def _times(seconds: dict[str, float]) -> str:
    """As `, 12.3 s (decode 0.4, recognize 11.5)`; empty if none are known."""
    kinds = ", ".join(f"{kind} {each:.1f}" for kind, each in seconds.items() if kind != "total" and each >= SHOWN_S)
    return f", {seconds['total']:.1f} s{f' ({kinds})' if kinds else ''}" if seconds else ""


def _status_of(archive: ArchiveFolder) -> ArchiveStatus:
    from steno.archive.manifest import STAGES
    from steno.archive.work_log import counts_of
    from steno.errors import ManifestError

    ids = archive.ids()
    status = ArchiveStatus(recordings=len(ids), done=dict.fromkeys(STAGES, 0))
    for recording in ids:
        try:
            manifest = archive.manifest(recording)
        except ManifestError:
            status.invalid.append(recording)
            continue
        status.audio_s += manifest.duration_s or 0.0
        if manifest.confidence is not None and manifest.consistent("words") is not None:
            status.words += manifest.confidence.words
        for stage in STAGES:
            status.done[stage] += manifest.consistent(stage) is not None
    counts = counts_of(archive.work_of(recording) for recording in ids)
    status.computed, status.computed_pieces = dict(counts.stages), dict(counts.pieces)
    status.repeated = counts.repeated
    status.seconds = {
        stage: {kind: round(each, 3) for kind, each in kinds.items()} for stage, kinds in counts.seconds.items()
    }
    return status


@click.command()
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@archive_option
def verify(quiet: bool, folder: Path) -> int:
    """Compare all files of an archive with the checksums in its manifests.

    Prints each file that is missing, that differs, or that no manifest lists; the exit code is then 1. It reads all
    files, raw ones included, and changes nothing.
    """
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.verification import verify_recording

    archive = ArchiveFolder.open(folder)
    ids = archive.ids()
    problems = 0
    try:
        with RunProgress(quiet=quiet) as progress, progress.of("checksums") as bar:
            for number, recording in enumerate(ids):
                bar.part(number / len(ids), recording)
                for found in verify_recording(archive, recording):
                    problems += 1
                    click.echo(f"{found.recording}/{found.path}: {found.problem}")
            progress.report(f"{len(ids)} recordings, {problems} problems")
    except KeyboardInterrupt:
        click.echo("steno: interrupted; not all files were read", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if problems else 0
