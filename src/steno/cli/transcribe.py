"""`steno transcribe`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click

from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED
from steno.cli.output import Output
from steno.cli.progress import Progress
from steno.client import Client
from steno.errors import StenoError

EXTENSION = {"text": ".txt", "json": ".json", "verbose_json": ".json"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format", "-f", "form", type=click.Choice(list(EXTENSION)), default="text", show_default=True,
    help="text: what is said. json: OpenAI's. verbose_json: with segments and word times.",
)  # fmt: skip
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English). Default: detect.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Write here instead of to the terminal.")
@click.option(
    "--output-dir", type=click.Path(path_type=Path, file_okay=False), help="Write NAME.txt or NAME.json here."
)
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Let this server do it, not this process. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.option("--quiet", "-q", is_flag=True, help="No progress, no summary.")
def command(
    files: tuple[Path, ...],
    form: str,
    language: str | None,
    output: Path | None,
    output_dir: Path | None,
    url: str | None,
    api_key: str | None,
    quiet: bool,
) -> int:
    """Print what is said in audio or video files.

    Without --url no server is needed: the recogniser runs here, chosen by the same environment variables as
    `steno serve`. A file that fails does not stop the others; the exit code is 1 if any did.

    \b
    steno transcribe talk.mp4
    steno transcribe --format verbose_json --output-dir out *.mp3
    steno transcribe --url http://gpu-box:8000 call.wav
    """
    if output and output_dir:
        raise click.UsageError("--output and --output-dir exclude each other")
    if output and len(files) > 1:
        raise click.UsageError("--output takes one file; use --output-dir for several")
    sink = Output(output, output_dir, EXTENSION[form], several=len(files) > 1)
    try:
        with Progress(enabled=not quiet) as progress:
            if url:
                failed = _by_server(files, form, language, url, api_key, sink, progress)
            else:
                failed = asyncio.run(_here(files, form, language, sink, progress))
    except KeyboardInterrupt:
        click.echo("steno: interrupted; nothing half-written is left", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if failed else 0


async def _here(files: tuple[Path, ...], form: str, language: str | None, sink: Output, progress: Progress) -> int:
    from steno import compose, logs, settings

    chosen = settings.load()
    logs.setup("WARNING" if chosen.log_level == "INFO" else chosen.log_level, chosen.log_json)
    engine = compose.engine_of(chosen)
    pieces = compose.pieces_of(chosen, engine)
    failed = 0
    async with engine:
        for file in files:
            try:
                sink.write(file, await _one_here(engine, pieces, file, form, language, progress))
            except (StenoError, OSError) as error:
                failed += 1
                progress.failed(file, _message(error))
    return failed


async def _one_here(engine: Any, pieces: Any, file: Path, form: str, language: str | None, progress: Progress) -> str:
    from contextlib import aclosing

    from steno.audio.decode import probe
    from steno.pipelines.file import FileOptions, FileTranscription
    from steno.server import wire
    from steno.server.forms import check_language

    began = time.monotonic()
    options = FileOptions(check_language(language, engine.capabilities, engine.backend.name), words=True)
    total_s = (await asyncio.to_thread(probe, file)).duration_s
    progress.begin(file, total_s)
    speech_only = not engine.capabilities.rejects_non_speech
    async with (
        engine.admit() as ticket,
        FileTranscription(
            pieces.open(file), ticket, options, parallel=engine.parallelism, speech_only=speech_only
        ) as transcription,
        aclosing(transcription.run()) as parts,
    ):
        async for part in parts:
            progress.advance(part.end_s, time.monotonic() - began)
        transcript = transcription.so_far()
    progress.done(file, transcript.duration_s, time.monotonic() - began)
    if form == "text":
        return transcript.text
    if form == "json":
        return wire.json_transcript(transcript, logprobs=False).model_dump_json(exclude_none=True)
    return wire.verbose_transcript(transcript, {"segment", "word"}).model_dump_json(exclude_none=True)


def _by_server(
    files: tuple[Path, ...],
    form: str,
    language: str | None,
    url: str,
    api_key: str | None,
    sink: Output,
    progress: Progress,
) -> int:
    fields: dict[str, Any] = {"response_format": "verbose_json", "timestamp_granularities[]": ["segment", "word"]}
    if language:
        fields["language"] = language
    failed = 0
    with Client(url, api_key) as client:
        for file in files:
            began = time.monotonic()
            try:
                progress.begin_upload(file, file.stat().st_size)
                answer = client.transcribe(file, fields, progress.sent).json()
                progress.done(file, answer["duration"], time.monotonic() - began)
                sink.write(file, _in_format(answer, form))
            except (StenoError, OSError) as error:
                failed += 1
                progress.failed(file, _message(error))
    return failed


def _in_format(answer: dict[str, Any], form: str) -> str:
    if form == "text":
        return str(answer["text"])
    if form == "json":
        answer = {"text": answer["text"], "usage": answer["usage"]}
    return json.dumps(answer, ensure_ascii=False)


def _message(error: StenoError | OSError) -> str:
    if isinstance(error, StenoError):
        return error.message
    return error.strerror or str(error)
