"""`steno archive export`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steno.cli.archive_option import archive_option
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.progress import RunProgress

if TYPE_CHECKING:
    from steno.archive.exports.exported_recording import ExportedRecording, ExportReport

CHAT_SFT = "chat-sft"
FORMATS = ("lhotse", "nemo", "hf", "srt", CHAT_SFT)
SHOWN_INCOMPLETE = 5


@click.command()
@click.option("--format", "-f", "form", type=click.Choice(FORMATS), required=True)
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, file_okay=False), required=True, metavar="DIR",
    help="Folder for the files. Those of the same names are replaced.",
)  # fmt: skip
@click.option(
    "--min-confidence", type=click.FloatRange(0, 1), default=0.0, metavar="P",
    help="Leave out segments of which the recogniser is less sure.",
)  # fmt: skip
@click.option("--max-line-chars", type=click.IntRange(10, 200), default=42, show_default=True, help="For srt.")
@click.option("--max-lines", type=click.IntRange(1, 4), default=2, show_default=True, help="For srt.")
@click.option(
    "--parameters", type=click.Path(path_type=Path, dir_okay=False, exists=True), metavar="FILE",
    help="For chat-sft: JSON with parameters of filters, window and splits, or an earlier dataset.json.",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="For chat-sft: of splits and caps.  [0]")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
@archive_option
def export(
    form: str, output: Path, min_confidence: float, max_line_chars: int, max_lines: int,
    parameters: Path | None, seed: int | None, quiet: bool, folder: Path,
) -> int:  # fmt: skip
    """Write a dataset in the format of another tool.

    \b
    lhotse   recordings.jsonl.gz, and supervisions.jsonl.gz with word alignments
    nemo     manifest.jsonl, a line for each segment
    hf       Parquet with the sound of each segment; needs steno[archive]
    srt      subtitles, a file for each recording
    chat-sft what was said and written before each chat message, and the message; needs steno[archive]

    Segments that were rejected are left out, and so are recordings without a transcript: the exit code is then 1.

    \b
    steno archive export -f lhotse -o out
    steno archive export -f hf -o out --min-confidence 0.7
    steno archive export -f chat-sft -o out --seed 1
    """
    if form == CHAT_SFT:
        from steno.cli.archive_chat_export import export_chat

        return export_chat(folder, output, parameters, seed, min_confidence, quiet=quiet)
    from steno import compose, settings
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.exports.exported_recording import ExportReport, exported_recordings
    from steno.archive.exports.registry import EXPORTERS

    archive = ArchiveFolder.open(folder)
    style = compose.caption_style_of(settings.load(), max_line_chars, max_lines)
    report = ExportReport()
    try:
        with RunProgress(quiet=quiet) as progress, progress.of("export") as bar:
            count = max(len(archive.ids()), 1)
            recordings = exported_recordings(archive, min_confidence, report)

            def shown() -> Iterator[ExportedRecording]:
                for each in recordings:
                    bar.part(report.recordings / count, each.id)
                    yield each

            EXPORTERS[form](shown(), output, style)
            progress.report(_summary(report))
    except KeyboardInterrupt:
        click.echo("steno: interrupted; no incomplete file is left", err=True)
        return EXIT_INTERRUPTED
    for recording in report.incomplete[:SHOWN_INCOMPLETE]:
        click.echo(f"steno: {recording}: no transcript; use steno archive run", err=True)
    if len(report.incomplete) > SHOWN_INCOMPLETE:
        click.echo(f"steno: and {len(report.incomplete) - SHOWN_INCOMPLETE} more without a transcript", err=True)
    return EXIT_FAILED if report.incomplete else 0


def _summary(report: ExportReport) -> str:
    is_less = bool(report.rejected or report.unsure)
    left_out = f"; left out: {report.rejected} rejected, {report.unsure} unsure" if is_less else ""
    speech = f"{report.speech_s:.1f} s of speech"
    return f"{report.recordings} recordings, {report.segments} segments, {speech}{left_out}"
