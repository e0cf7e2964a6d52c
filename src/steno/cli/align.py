"""`steno align`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from steno.cli.inputs import STDIN, recordings_of
from steno.cli.line_aligner import AlignRequest, align_here, align_there
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.options import file_or_stdout
from steno.cli.progress import RunProgress
from steno.errors import StenoError
from steno.stage_times import StageTimes
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from steno.captions.cues import CueStyle
    from steno.captions.line_formats import LineFormatName
    from steno.pipelines.known_text import LineAlignment, Repeats

FORMATS = ("json", "lrc", "elrc", "srt", "vtt", "ass", "ttml", "textgrid")
SHOWN_MISSING = 5


@click.command()
@click.argument("recording")
@click.argument("text")
@click.option(
    "--format", "-f", "form", type=click.Choice(FORMATS),
    help="lrc; elrc (with word times); srt, vtt; ass (karaoke); ttml; textgrid (Praat); json.  [default: by the name "
    "of --output, else lrc]",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), callback=file_or_stdout,
    help="Write to this file, not the terminal; - for the terminal.",
)  # fmt: skip
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option(
    "--repeats", type=click.Choice(["auto", "as_written"]), default="auto", show_default=True,
    help="auto: lines and sections may be sung more often than TEXT has them; as_written: they are not.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Time a TEXT that is not what the recording says.")
@click.option("--max-line-chars", type=click.IntRange(10, 200), default=42, show_default=True, help="For srt and vtt.")
@click.option("--max-lines", type=click.IntRange(1, 4), default=2, show_default=True, help="For srt and vtt.")
@click.option("--track", metavar="N|LANG", help="Audio track of files with several: number (from 1) or language.")
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Use this server, not this process. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
def command(
    recording: str,
    text: str,
    form: str | None,
    output: Path | None,
    language: str | None,
    repeats: Repeats,
    force: bool,
    max_line_chars: int,
    max_lines: int,
    track: str | None,
    url: str | None,
    api_key: str | None,
    quiet: bool,
) -> int:
    """Find when each line of a known TEXT (lyrics, a script) is said in RECORDING.

    TEXT is a file with one line of text per line, or - for standard input. Section marks such as [Chorus] and empty
    lines are not sung; a chorus that is written once is found each time that it is sung; "x2" and (backing vocals) are
    understood. Lines that are not found have no time: the summary lists them.

    \b
    steno align song.mp3 lyrics.txt > song.lrc
    steno align song.mp3 lyrics.txt -o song.ass            # karaoke
    steno align talk.mp4 script.txt -f srt -o talk.srt
    steno align song.mp3 lyrics.txt -f json | jq '.lines[] | select(.status != "found")'
    steno align --url http://gpu-box:8000 song.mp3 lyrics.txt -f elrc
    """
    from steno import compose, logs, settings

    if recording == STDIN and text == STDIN:
        raise click.UsageError("standard input (-) may occur only once")
    form = form or _format_of(output)
    config = settings.load()
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    style = compose.caption_style_of(config, max_line_chars, max_lines)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    lyrics = _read_text(text)
    times = StageTimes()
    try:
        with recordings_of([recording]) as (source,), RunProgress(quiet=quiet) as progress:
            request = AlignRequest(source.path, lyrics, language, repeats, force, track)
            try:
                with progress.of(source.label) as shown:
                    done = asyncio.run(
                        align_there(request, url, api_key, shown) if url else align_here(request, config, shown)
                    )
            except StenoError as error:
                progress.failed(source.label, error.message)
                return EXIT_FAILED
            except OSError as error:
                progress.failed(source.label, error.strerror or str(error))
                return EXIT_FAILED
            progress.finished(source.label, shown)
    except KeyboardInterrupt:
        click.echo("steno: interrupted; nothing was written", err=True)
        return EXIT_INTERRUPTED
    result = _rendered(done, form, style, times)
    if output:
        write_whole(output, result)
    else:
        click.echo(result, nl=False)
    if not quiet:
        _summarize(done)
    return 0


def _format_of(output: Path | None) -> str:
    """The format for a file's extension; `lrc` if it has none that is known."""
    extension = output.suffix.removeprefix(".").lower() if output else ""
    return extension if extension in FORMATS else "lrc"


def _read_text(argument: str) -> str:
    try:
        data = sys.stdin.buffer.read() if argument == STDIN else Path(argument).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{argument}: not UTF-8 text") from None
    except OSError as error:
        raise click.UsageError(f"{argument}: {error.strerror or error}") from None


def _rendered(done: LineAlignment, form: str, style: CueStyle, times: StageTimes) -> str:
    from steno.captions.line_formats import render_lines
    from steno.server.http.alignment_json import alignment_answer, line_segments

    if form == "json":
        times.add_all(done.timings_s)
        return alignment_answer(done, times).model_dump_json() + "\n"
    name = cast("LineFormatName", form)
    return render_lines(name, line_segments(done.lines), style, done.audio_s, done.language)


def _summarize(done: LineAlignment) -> None:
    missing = [line for line in done.lines if line.start_s is None]
    timed = len(done.lines) - len(missing)
    click.echo(f"{timed} lines timed, {len(missing)} not found; times from {done.method}", err=True)
    for line in missing[:SHOWN_MISSING]:
        click.echo(f"  not found: line {line.number}: {line.text}", err=True)
    if len(missing) > SHOWN_MISSING:
        click.echo(f"  and {len(missing) - SHOWN_MISSING} more", err=True)
    for warning in done.warnings:
        click.echo(f"steno: {warning}", err=True)
