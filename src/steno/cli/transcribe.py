"""`steno transcribe`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from loguru import logger

from steno.cli.inputs import Recording, recordings_of
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.options import CommaList, TranscribeOptions, check_format
from steno.cli.progress import RunProgress
from steno.cli.render import Renderer
from steno.cli.sinks import RECORD, FileSink, FolderSink, Sink, TerminalSink
from steno.cli.transcriber import Transcriber, at_server, here
from steno.errors import StenoError

if TYPE_CHECKING:
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
    help="text (or txt), json, verbose_json, srt, vtt, lrc, tsv; several are made in one pass.",
)  # fmt: skip
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to the terminal."
)
@click.option(
    "--output-dir", "-d", type=click.Path(path_type=Path, file_okay=False),
    help="Write NAME.srt, … here. What is there already, made from the same content, is skipped.",
)  # fmt: skip
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option(
    "--mode", type=click.Choice(["accurate", "fast"]), default="accurate", show_default=True,
    help="Subtitle times: from the words as they were heard, or spread by their length.",
)  # fmt: skip
@click.option(
    "--max-line-chars", type=click.IntRange(10, 200), default=42, show_default=True, help="Of a subtitle line."
)
@click.option("--max-lines", type=click.IntRange(1, 4), default=2, show_default=True, help="Of a subtitle.")
@click.option(
    "--translate-to", "targets", type=CommaList(_check_target), default=(), metavar="LANG,…",
    help="Also make NAME.LANG.srt, …: translated by the LLM of OPENAI_BASE_URL and TRANSLATE_MODEL.",
)  # fmt: skip
@click.option("--bilingual", is_flag=True, help="Translated subtitles keep the source text below.")
@click.option(
    "--glossary", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="File of term=translation lines."
)
@click.option("--jobs", "-j", type=click.IntRange(1, 64), default=2, show_default=True, help="Files under way at once.")
@click.option("--again", is_flag=True, help="Make everything, also what is there already.")
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Let this server do it, not this process. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no summary.")
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
    again: bool,
    url: str | None,
    api_key: str | None,
    quiet: bool,
) -> int:
    """Print what is said in audio or video files, make subtitles of them, and translate them.

    FILES may be patterns ('talks/*.mp4') and - for standard input. Without --url no server is needed: the recogniser
    runs here, chosen by the same environment variables as `steno serve`. A file that fails does not stop the others;
    the exit code is 1 if any did.

    \b
    steno transcribe talk.mp4
    steno transcribe 'talks/*.mp4' --format srt,vtt,txt --output-dir out
    steno transcribe talk.mp4 -f srt -d out --translate-to fr,zh
    ffmpeg -i call.ts -f wav - | steno transcribe -
    steno transcribe --url http://gpu-box:8000 -f verbose_json call.wav
    """
    from steno import compose, logs, settings
    from steno.languages import code_of
    from steno.pipelines.request_checks import parse_glossary
    from steno.pipelines.translate import check_configured

    if output and output_dir:
        raise click.UsageError("--output and --output-dir exclude each other")
    chosen = settings.load()
    logs.setup("WARNING" if chosen.log_level == "INFO" else chosen.log_level, chosen.log_json)
    terms = parse_glossary(_text_of(glossary), "\n") if glossary else {}
    style = compose.caption_style_of(chosen, max_line_chars, max_lines)
    llm = f"{chosen.translate_model} {chosen.translate_temperature} {chosen.translate_srt_temperature}"
    wishes = TranscribeOptions(formats, language, mode, style, targets, bilingual, terms, llm)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    translator = compose.translator_of(chosen)
    # English may be what is spoken; then it needs no translation, which is known only afterwards.
    foreign = [target for target in targets if target not in ("en", code_of(language or ""))]
    if foreign:
        check_configured(translator, foreign[0])
    renderer = Renderer(wishes, translator, chosen.translate_temperature, chosen.translate_srt_temperature)
    worker = at_server(url, api_key) if url else here(chosen, words=wishes.wants_words)
    try:
        with recordings_of(files) as recordings, RunProgress(quiet=quiet) as progress:
            sink, at_once = _sink(recordings, wishes, output, output_dir, again), jobs if output_dir else 1
            asyncio.run(_all(recordings, renderer, worker, sink, progress, at_once))
            progress.summary()
    except KeyboardInterrupt:
        click.echo("steno: interrupted; nothing half-written is left", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures else 0


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"{file}: not UTF-8 text") from None


def _sink(
    recordings: Sequence[Recording],
    wishes: TranscribeOptions,
    output: Path | None,
    output_dir: Path | None,
    again: bool,
) -> Sink:
    count = len(recordings) * len(list(wishes.results()))
    if output and count > 1:
        raise click.UsageError("--output takes one file in one format; use --output-dir for several")
    if output:
        return FileSink(output)
    if output_dir:
        files = [recording.name + result.extension for recording in recordings for result in wishes.results()]
        doubled = next((file for file in files if file == RECORD or files.count(file) > 1), None)
        if doubled:
            raise click.UsageError(f"two results would be called {doubled}; give them folders of their own")
    return FolderSink(output_dir, again=again) if output_dir else TerminalSink(headings=count > 1)


async def _all(
    recordings: Sequence[Recording],
    renderer: Renderer,
    worker: AbstractAsyncContextManager[Transcriber],
    sink: Sink,
    progress: RunProgress,
    at_once: int,
) -> None:
    """`at_once` is 1 on a terminal, where results come in the order of the files."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(recording: Recording, transcriber: Transcriber) -> None:
        async with turns:
            try:
                await _one(recording, renderer, transcriber, sink, progress)
            except StenoError as error:
                progress.failed(recording.shown, error.message)
            except OSError as error:
                progress.failed(recording.shown, error.strerror or str(error))
            except Exception as error:  # noqa: BLE001 - one recording never stops the others
                logger.opt(exception=error).error("unforeseen")
                progress.failed(recording.shown, f"unforeseen: {type(error).__name__}")

    async with worker as transcriber, asyncio.TaskGroup() as group:
        for recording in recordings:
            group.create_task(in_turn(recording, transcriber))
    if renderer.translator is not None:
        await renderer.translator.aclose()


async def _one(
    recording: Recording, renderer: Renderer, transcriber: Transcriber, sink: Sink, progress: RunProgress
) -> None:
    wishes = renderer.wishes
    digest = await asyncio.to_thread(recording.digest) if sink.remembers else ""
    made_from = {result: f"{digest} {wishes.fingerprint(result, transcriber.identity)}" for result in wishes.results()}
    missing = [result for result in made_from if not sink.has(recording.name, result.extension, made_from[result])]
    if not missing:
        progress.skipped(recording.shown)
        return
    with progress.of(recording.shown) as shown:
        transcript = await transcriber.transcribe(recording, wishes.language, shown)
        for result in missing:
            text, untranslated = await renderer.render(transcript, result)
            # What is flawed is not remembered as done: another run tries again.
            sink.write(recording.name, result.extension, "" if untranslated else made_from[result], text)
            if untranslated:
                what = f"{untranslated} lines of {recording.name}{result.extension} could not be translated"
                progress.failed(recording.shown, f"{what} and keep the source text")
    progress.finished(recording.shown, shown)
