"""`steno transcribe`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from loguru import logger

from steno.cli.flame_graph import flame_graph
from steno.cli.inputs import Recording, recordings_of
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.options import SPEAKER_COUNT, CommaList, SpeakerRequest, TranscribeOptions, check_format, file_or_stdout
from steno.cli.progress import RunProgress
from steno.cli.render import Renderer
from steno.cli.sinks import RECORD, FileSink, FolderSink, Sink, TerminalSink
from steno.cli.timing_table import TimingTable
from steno.cli.transcriber import Transcriber, local_transcriber, remote_transcriber
from steno.errors import StenoError
from steno.stage_times import StageTimes

if TYPE_CHECKING:
    from steno.captions.speaker_cues import SpeakerLabels
    from steno.pipelines.request_checks import TimingMode


def _check_target(name: str) -> str:
    from steno.pipelines.request_checks import check_target

    try:
        return check_target(name)
    except StenoError as error:
        raise ValueError(error.message) from None


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option(
    "--format", "-f", "formats", type=CommaList(check_format), default="text", show_default=True, metavar="A,B,…",
    help="text (or txt), json, verbose_json, diarized_json, srt, vtt, lrc, tsv; several are made in one pass.",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), callback=file_or_stdout,
    help="Write to this file, not the terminal; - for the terminal.",
)  # fmt: skip
@click.option(
    "--output-dir", "-d", type=click.Path(path_type=Path, file_okay=False),
    help="Write NAME.srt, … here. Results that exist and were made from the same content are skipped.",
)  # fmt: skip
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option(
    "--mode", type=click.Choice(["accurate", "fast"]), default="accurate", show_default=True,
    help="Subtitle times: from recognised word times, or estimated from the words' length.",
)  # fmt: skip
@click.option(
    "--max-line-chars", type=click.IntRange(10, 200), default=42, show_default=True, help="Columns of a subtitle line."
)
@click.option("--max-lines", type=click.IntRange(1, 4), default=2, show_default=True, help="Lines of a subtitle.")
@click.option(
    "--translate-to", "targets", type=CommaList(_check_target), default=(), metavar="LANG,…",
    help="Also make NAME.LANG.srt, …, translated by the LLM of OPENAI_BASE_URL and TRANSLATE_MODEL.",
)  # fmt: skip
@click.option("--bilingual", is_flag=True, help="Translated subtitles keep the source text below.")
@click.option(
    "--glossary", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="File of term=translation lines."
)
@click.option("--jobs", "-j", type=click.IntRange(1, 64), default=2, show_default=True, help="Max files in parallel.")
@click.option("--track", metavar="N|LANG", help="Audio track of files with several: number (from 1) or language.")
@click.option(
    "--diarize", is_flag=True,
    help="Tell the speakers apart; for verbose_json, subtitles and diarized_json, which implies it.",
)  # fmt: skip
@click.option("--num-speakers", type=SPEAKER_COUNT, help="How many speakers there are, if that is known.")
@click.option("--min-speakers", type=SPEAKER_COUNT, help="At least so many speakers.")
@click.option("--max-speakers", type=SPEAKER_COUNT, help="At most so many speakers.")
@click.option(
    "--speaker-labels", "labels", type=click.Choice(["dash", "name", "none"]),
    help="Subtitles: a dash for each speaker of a shared cue, the speakers' names, or no label.  [default: dash]",
)  # fmt: skip
@click.option("--again", is_flag=True, help="Make all results, also those that exist.")
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Use this server, not this process. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.option(
    "--timings", is_flag=True,
    help="Print a table of where the time went, for each file and in all, and put it into JSON.",
)  # fmt: skip
@click.option(
    "--profile", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.html",
    help="Write a flame graph of all threads. Needs steno[profile].",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
def command(
    files: tuple[str, ...],
    formats: tuple[str, ...],
    output: Path | None,
    output_dir: Path | None,
    language: str | None,
    mode: TimingMode,
    max_line_chars: int,
    max_lines: int,
    targets: tuple[str, ...],
    bilingual: bool,
    glossary: Path | None,
    jobs: int,
    track: str | None,
    diarize: bool,
    num_speakers: int | None,
    min_speakers: int | None,
    max_speakers: int | None,
    labels: SpeakerLabels | None,
    again: bool,
    url: str | None,
    api_key: str | None,
    timings: bool,
    profile: Path | None,
    quiet: bool,
) -> int:
    """Transcribe audio or video files, make subtitles of them, and translate them.

    FILES may be patterns ('talks/*.mp4') and - for standard input. Without --url no server is needed: the recogniser
    runs in this process, chosen by the same environment variables as for `steno serve`. A file that fails does not
    stop the others; the exit code is then 1.

    \b
    steno transcribe talk.mp4
    steno transcribe 'talks/*.mp4' --format srt,vtt,txt --output-dir out
    steno transcribe talk.mp4 -f srt -d out --translate-to fr,zh
    ffmpeg -i call.ts -f wav - | steno transcribe -
    steno transcribe --url http://gpu-box:8000 -f verbose_json call.wav
    steno transcribe 'talks/*.mp4' -d out --timings --profile out/profile.html
    """
    from steno import compose, logs, settings
    from steno.languages import code_of
    from steno.pipelines.request_checks import parse_glossary
    from steno.pipelines.translate import check_configured

    if output and output_dir:
        raise click.UsageError("--output and --output-dir exclude each other")
    config = settings.load()
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    terms = parse_glossary(_text_of(glossary), "\n") if glossary else {}
    style = compose.caption_style_of(config, max_line_chars, max_lines)
    llm = f"{config.translate_model} {config.translate_temperature} {config.translate_srt_temperature}"
    speakers = _speakers(SpeakerRequest(num_speakers, min_speakers, max_speakers), labels, formats, diarize=diarize)
    options = TranscribeOptions(
        formats, language, mode, style, targets, bilingual, terms, llm, track, timings, speakers, labels or "dash"
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    translator = compose.translator_of(config)
    # English needs no LLM if the speech is English, which is known only after recognition.
    foreign = [target for target in targets if target not in ("en", code_of(language or ""))]
    if foreign:
        check_configured(translator, foreign[0])
    temperatures = config.translate_temperature, config.translate_srt_temperature
    renderer, table = Renderer(options, translator, *temperatures, is_local=url is None), TimingTable(url is None)
    if url:
        worker = remote_transcriber(url, api_key, speakers)
    else:
        worker = local_transcriber(config, words=options.wants_words, speakers=speakers)
    try:
        with flame_graph(profile), recordings_of(files) as recordings, RunProgress(quiet=quiet) as progress:
            sink, at_once = _sink(recordings, options, output, output_dir, again), jobs if output_dir else 1
            asyncio.run(_all(recordings, renderer, worker, sink, progress, table, at_once))
            progress.summary()
    except KeyboardInterrupt:
        click.echo("steno: interrupted; no incomplete file is left", err=True)
        return EXIT_INTERRUPTED
    if timings:
        table.print()
    return EXIT_FAILED if progress.failures else 0


def _speakers(
    asked: SpeakerRequest, labels: SpeakerLabels | None, formats: tuple[str, ...], *, diarize: bool
) -> SpeakerRequest | None:
    """What is asked about speakers. Raises UsageError: options contradict each other."""
    if not diarize and "diarized_json" not in formats:
        given = {
            "--num-speakers": asked.number,
            "--min-speakers": asked.least,
            "--max-speakers": asked.most,
            "--speaker-labels": labels,
        }
        for name, value in given.items():
            if value is not None:
                raise click.UsageError(f"{name} needs --diarize")
        return None
    if asked.number and (asked.least or asked.most):
        raise click.UsageError("--num-speakers excludes --min-speakers and --max-speakers")
    if asked.least and asked.most and asked.least > asked.most:
        raise click.UsageError(f"--min-speakers {asked.least} must be at most --max-speakers {asked.most}")
    if {"text", "json"}.issuperset(formats):
        shown = "srt, vtt, lrc, tsv, verbose_json or diarized_json"
        raise click.UsageError(f"--diarize: {' and '.join(formats)} would not show the speakers; expected -f {shown}")
    return asked


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: not UTF-8 text") from None


def _sink(
    recordings: Sequence[Recording],
    options: TranscribeOptions,
    output: Path | None,
    output_dir: Path | None,
    again: bool,
) -> Sink:
    count = len(recordings) * len(list(options.results()))
    if output and count > 1:
        raise click.UsageError("--output takes one file in one format; use --output-dir for several")
    if output:
        return FileSink(output)
    if output_dir:
        _check_writable(output_dir)
        files = [recording.name + result.extension for recording in recordings for result in options.results()]
        doubled = next((file for file in files if file == RECORD or files.count(file) > 1), None)
        if doubled:
            raise click.UsageError(f"two results would be called {doubled}; use different folders")
    return FolderSink(output_dir, again=again) if output_dir else TerminalSink(headings=count > 1)


def _check_writable(folder: Path) -> None:
    """Raises UsageError: results cannot be written to `folder`, so that no recording needs to be recognised first."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise click.UsageError(f"--output-dir {folder}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise click.UsageError(f"--output-dir {folder}: no permission to write to {there}")


async def _all(
    recordings: Sequence[Recording],
    renderer: Renderer,
    worker: AbstractAsyncContextManager[Transcriber],
    sink: Sink,
    progress: RunProgress,
    table: TimingTable,
    at_once: int,
) -> None:
    """Transcribe all recordings. `at_once` is 1 on a terminal, so that results are in the order of the files."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(recording: Recording, transcriber: Transcriber) -> None:
        async with turns:
            try:
                await _one(recording, renderer, transcriber, sink, progress, table)
            except StenoError as error:
                progress.failed(recording.label, error.message)
            except OSError as error:
                progress.failed(recording.label, error.strerror or str(error))
            except Exception as error:  # noqa: BLE001 - one recording never stops the others
                logger.opt(exception=error).error("unexpected error")
                progress.failed(recording.label, f"unexpected error: {type(error).__name__}")

    async with worker as transcriber, asyncio.TaskGroup() as group:
        for recording in recordings:
            group.create_task(in_turn(recording, transcriber))
    if renderer.translator is not None:
        await renderer.translator.aclose()


async def _one(
    recording: Recording,
    renderer: Renderer,
    transcriber: Transcriber,
    sink: Sink,
    progress: RunProgress,
    table: TimingTable,
) -> None:
    options, times = renderer.options, StageTimes()
    digest = await asyncio.to_thread(recording.digest) if sink.remembers else ""
    made_from = {
        result: f"{digest} {options.fingerprint(result, transcriber.identity)}" for result in options.results()
    }
    missing = [result for result in made_from if not sink.has(recording.name, result.extension, made_from[result])]
    if not missing:
        progress.skipped(recording.label)
        return
    with progress.of(recording.label) as recording_progress:
        transcript = await transcriber.transcribe(recording, options.language, options.track, recording_progress)
        times.add_all(transcript.timings_s)
        progress.damaged(recording.label, transcript.warnings)
        for result in missing:
            text, untranslated = await renderer.render(transcript, result, times)
            # A result with untranslated lines is not recorded as done, so that the next run retries it.
            with times.measure("write"):
                sink.write(recording.name, result.extension, "" if untranslated else made_from[result], text)
            if untranslated:
                what = f"{untranslated} lines of {recording.name}{result.extension} could not be translated"
                progress.failed(recording.label, f"{what} and keep the source text")
    table.add(recording.label, transcript.duration_s, times)
    progress.finished(recording.label, recording_progress)
