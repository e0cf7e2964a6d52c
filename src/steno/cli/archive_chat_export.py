"""`steno archive export --format chat-sft`."""

from __future__ import annotations

import json
from pathlib import Path

import click
from pydantic import ValidationError

from steno.archive.archive_folder import ArchiveFolder
from steno.archive.dataset.chat_sft_export import ChatExport, export_chat_sft
from steno.archive.dataset.dataset_options import DatasetOptions
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.progress import RunProgress

SHOWN_LEFT_OUT = 5


def export_chat(
    folder: Path, output: Path, parameters: Path | None, seed: int | None, min_confidence: float, *, quiet: bool
) -> int:
    """Returns the exit code: 1 if a recording with a chat was left out, or no example was written."""
    archive = ArchiveFolder.open(folder)
    options = dataset_options(parameters, seed)
    try:
        with RunProgress(quiet=quiet) as progress, progress.of("export") as bar:
            exported = export_chat_sft(archive, output, options, min_confidence, bar.part)
            for line in _summary(exported):
                progress.report(line)
    except KeyboardInterrupt:
        click.echo("steno: interrupted; no incomplete file is left", err=True)
        return EXIT_INTERRUPTED
    left_out = list(exported.left_out.items())
    for name, reason in left_out[:SHOWN_LEFT_OUT]:
        click.echo(f"steno: {name}: {reason}", err=True)
    if len(left_out) > SHOWN_LEFT_OUT:
        click.echo(f"steno: and {len(left_out) - SHOWN_LEFT_OUT} more that were left out", err=True)
    return EXIT_FAILED if left_out or not exported.summary.counts.kept else 0


def dataset_options(parameters: Path | None, seed: int | None) -> DatasetOptions:
    """Raises click.UsageError: the file has no valid parameters."""
    content: object = {}
    try:
        if parameters is not None:
            content = json.loads(parameters.read_text(encoding="utf-8"))
        if isinstance(content, dict) and "template_version" in content:
            content = content.get("options")
        if not isinstance(content, dict):
            raise click.UsageError(f"{parameters} is not a JSON object with parameters")
        return DatasetOptions.model_validate({**content, **({} if seed is None else {"seed": seed})})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise click.UsageError(f"{parameters}: {where}: {first['msg']}") from None
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{parameters}: {error}") from None


def _summary(exported: ChatExport) -> list[str]:
    counts, statistics = exported.summary.counts, exported.summary.statistics
    removed = ", ".join(f"{count} {name}" for name, count in counts.removed.most_common())
    lines = [
        f"{counts.kept} examples of {counts.messages} messages in {len(exported.summary.by_recording)} recordings"
        + (f"; left out: {removed}" if removed else ""),
        ", ".join(f"{split} {count}" for split, count in sorted(statistics.splits.items())),
    ]
    return lines if exported.has_parquet else [*lines, "no Parquet: pip install 'steno[archive]'"]
