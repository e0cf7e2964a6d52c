"""`steno jobs submit`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from steno.cli.inputs import Recording, in_folders, recordings_of
from steno.cli.job_submission import (
    JobDelivery,
    JobOrder,
    JobSource,
    JobSubmission,
    source_at,
    submit_all,
    submit_and_watch,
)
from steno.cli.job_watch import JobWatcher, say_that_they_go_on
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.options import ALSO_KNOWN_AS, STDOUT
from steno.cli.progress import RunProgress
from steno.cli.server_options import server_options
from steno.client import AsyncClient

KINDS = ("transcription", "subtitles", "translation", "alignment")


@click.command()
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...")
@click.option("--kind", "-k", type=click.Choice(KINDS), default="transcription", show_default=True)
@click.option(
    "--format", "-f", "form", metavar="FORMAT",
    help="json, text, verbose_json, diarized_json, srt, vtt, lrc, tsv, as the kind has them; for alignments also elrc, "
    "ass, ttml, textgrid. Default: the kind's.",
)  # fmt: skip
@click.option("--language", "-l", metavar="LANG", help="Spoken language: code (en) or name (English). Default: detect.")
@click.option("--translate-to", metavar="LANG", help="Target language of --kind translation. Default: en.")
@click.option(
    "--text", "-t", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with the lyrics or the script of --kind alignment.",
)  # fmt: skip
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE",
    help="Any other field of the kind's own route, such as max_line_chars=32 or diarize=true. Several: repeat it.",
)  # fmt: skip
@click.option("--callback-url", metavar="URL", help="Gets a signed POST when a job has ended.")
@click.option("--new", "is_new", is_flag=True, help="Store a job even if the same one was submitted before.")
@click.option("--watch", "-w", is_flag=True, help="Wait for the jobs, and print their results.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Watch, and write the result to this file; - for stdout.",
)
@click.option(
    "--output-dir", "-d", type=click.Path(path_type=Path, file_okay=False),
    help="Watch, and write NAME.srt, … into this folder.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@server_options
def submit(
    recordings: tuple[str, ...],
    kind: str,
    form: str | None,
    language: str | None,
    translate_to: str | None,
    text: Path | None,
    options: tuple[str, ...],
    callback_url: str | None,
    is_new: bool,
    watch: bool,
    output: Path | None,
    output_dir: Path | None,
    quiet: bool,
    url: str,
    api_key: str | None,
) -> int:
    """Store a job for each RECORDING, and print the ids.

    RECORDING is a file, a pattern ('talks/*.mp4'), a folder (the recordings in it), - for standard input, or a URL,
    which the server fetches. Submitting the same recording with the same options again stores no second job: repeat the
    command if the connection was lost.

    \b
    steno jobs submit talk.mp4 --kind subtitles -f srt
    steno jobs submit talk.mp4 -k subtitles -o talk.srt    # waits; Ctrl-C does not stop the job
    steno jobs submit talks/ -k subtitles -f vtt -d out
    steno jobs submit https://media.example.org/talk.mp3 -f text
    steno jobs submit song.mp3 -k alignment --text lyrics.txt -f lrc
    steno jobs submit talk.mp4 -k translation --translate-to fr -f srt --option bilingual=true
    """
    if output and output_dir:
        raise click.UsageError("--output and --output-dir exclude each other")
    fields = _fields(kind, form, language, translate_to, text, options)
    order = JobOrder(kind, fields, callback_url, is_new)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    urls = [each for each in recordings if "://" in each]
    files = in_folders([each for each in recordings if each not in urls])
    job_ids: list[str] = []
    try:
        with recordings_of(files) as found, RunProgress(quiet=quiet, estimates=False) as progress:
            sources = [*map(_source_of, found), *map(source_at, urls)]
            if output and len(sources) > 1:
                raise click.UsageError("--output takes one recording; use --output-dir for several")
            _check_names(sources, output_dir)
            file, form = None if output == STDOUT else output, fields.get("response_format")
            delivery = JobDelivery(file, output_dir, form, headings=len(sources) > 1)
            is_watched = watch or bool(output or output_dir)
            asyncio.run(_run(order, sources, progress, job_ids, delivery if is_watched else None, url, api_key))
    except KeyboardInterrupt:
        if job_ids:
            say_that_they_go_on(job_ids)
        else:
            click.echo("steno: interrupted; no job is known to be stored", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures else 0


async def _run(
    order: JobOrder,
    sources: Sequence[JobSource],
    progress: RunProgress,
    job_ids: list[str],
    delivery: JobDelivery | None,
    url: str,
    api_key: str | None,
) -> None:
    async with AsyncClient(url, api_key) as client:
        submission = JobSubmission(client, order, progress, job_ids)
        if delivery is None:
            await submit_all(submission, sources, progress)
        else:
            await submit_and_watch(submission, sources, JobWatcher(client, progress), delivery)


def _check_names(sources: Sequence[JobSource], folder: Path | None) -> None:
    names = [source.name for source in sources]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if folder and doubled:
        raise click.UsageError(f"several results would be called {doubled}; submit them one by one")


def _source_of(recording: Recording) -> JobSource:
    return JobSource(recording.label, recording.name, recording)


def _fields(
    kind: str,
    form: str | None,
    language: str | None,
    translate_to: str | None,
    text: Path | None,
    options: Sequence[str],
) -> dict[str, Any]:
    """Form fields of the kind's own route. Raises UsageError."""
    if translate_to and kind != "translation":
        raise click.UsageError("--translate-to needs --kind translation")
    if (text is not None) != (kind == "alignment"):
        raise click.UsageError(
            "--kind alignment needs --text FILE" if text is None else "--text needs --kind alignment"
        )
    fields: dict[str, Any] = {
        "response_format": ALSO_KNOWN_AS.get(form, form) if form else None,
        "source_language" if kind == "translation" else "language": language,
        "text": _text_of(text) if text is not None else None,
        **({"language": translate_to} if kind == "translation" else {}),
    }
    given: dict[str, list[str]] = {}
    for option in options:
        name, separator, value = option.partition("=")
        if not separator or not name:
            raise click.UsageError(f"invalid --option {option!r}; expected NAME=VALUE")
        given.setdefault(name, []).append(value)
    fields.update((name, values if len(values) > 1 else values[0]) for name, values in given.items())
    return {name: value for name, value in fields.items() if value is not None}


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: not UTF-8 text") from None
