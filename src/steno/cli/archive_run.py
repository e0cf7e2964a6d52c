"""`steno archive run`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steno.archive.manifest import STAGES
from steno.cli.archive_option import archive_option
from steno.cli.archive_progress import ArchiveProgress
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from steno.archive.archive_folder import ArchiveFolder, ArchiveOptions
    from steno.archive.manifest import StageName
    from steno.archive.recording_run import RecordingRun
    from steno.archive.stages.stage import StageTools
    from steno.settings import Settings


@click.command()
@click.option("--jobs", "-j", type=click.IntRange(1, 64), default=2, show_default=True, help="Recordings at once.")
@click.option("--only", type=click.Choice(STAGES), help="Run this stage alone.")
@click.option("--language", "-l", metavar="LANG", help="Code (en) or name (English); auto = detect, the default.")
@click.option("--track", metavar="N|LANG", help="Audio track of files with several: number (from 1) or language.")
@click.option("--diarize/--no-diarize", default=None, help="Tell the speakers apart, in a stage after the words.")
@click.option(
    "--num-speakers", type=click.IntRange(0, 20), metavar="N", help="Speakers of each recording; 0 = unknown."
)
@archive_option
@click.option("--url", envvar="STENO_URL", metavar="URL", help="Recognise on this server. [STENO_URL]")
@click.option("--api-key", envvar="STENO_API_KEY", metavar="KEY", help="Key for --url. [STENO_API_KEY]")
@click.option(
    "--ray", "cluster", metavar="ADDRESS", help="Spread the recordings over this Ray cluster: auto, local, ray://…."
)
@click.option("--gpus", type=click.FloatRange(0), default=0.0, metavar="N", help="GPUs of each of --jobs on Ray.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress and no summary.")
def run(
    jobs: int,
    only: StageName | None,
    language: str | None,
    track: str | None,
    diarize: bool | None,
    num_speakers: int | None,
    folder: Path,
    url: str | None,
    api_key: str | None,
    cluster: str | None,
    gpus: float,
    quiet: bool,
) -> int:
    """Compute what is missing in an archive, or out of date.

    A stage runs if its inputs, its options or its model have changed since its result was made; earlier results are
    kept. --language, --track, --diarize and --num-speakers become the archive's, so that later runs need not repeat
    them. The recogniser is chosen by the same environment variables as for `steno serve`. Speakers are told apart on
    this machine, also with --url; with --ray on the cluster.

    A recording that fails does not stop the others; the exit code is then 1, and the next run tries it again. After
    Ctrl-C or a crash, repeat the command: it continues with the piece of audio where it was.

    \b
    steno archive run --jobs 4
    steno archive run --url http://gpu-box:8000 --jobs 16
    steno archive run --diarize --num-speakers 2
    steno archive run --only audio               # decodes everything; the rest later
    steno archive run --ray auto --jobs 32 --gpus 0.25
    """
    from steno import logs, settings
    from steno.archive.archive_folder import ArchiveFolder

    if cluster is not None and url is not None:
        raise click.UsageError("--ray and --url exclude each other")
    config = settings.load()
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    archive = ArchiveFolder.open(folder)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with archive.exclusive(), ArchiveProgress(archive, quiet=quiet) as progress:
            options = _options(
                archive, {"language": language, "track": track, "diarize": diarize, "num_speakers": num_speakers}
            )
            if not options.diarize and (num_speakers or only == "speakers"):
                raise click.UsageError("--num-speakers and --only speakers need --diarize")
            if cluster is not None:
                _on_ray(archive, config, options, only, progress, (cluster, jobs, gpus))
            else:
                asyncio.run(_all(archive, config, options, only, (url, api_key), progress, jobs))
            progress.summary()
    except KeyboardInterrupt:
        click.echo("steno: interrupted; repeat the command to continue", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if progress.failures else 0


def _options(archive: ArchiveFolder, given: Mapping[str, str | int | None]) -> ArchiveOptions:
    """The archive's options, with those of this run that are not None; `auto` and a number of 0 take one back. They are
    not saved yet: a language may be invalid."""
    changes: dict[str, str | int | None] = {name: value for name, value in given.items() if value is not None}
    for name, nothing in (("language", "auto"), ("track", "auto"), ("num_speakers", 0)):
        if changes.get(name) == nothing:
            changes[name] = None
    return archive.options().model_copy(update=changes)


async def _all(
    archive: ArchiveFolder,
    config: Settings,
    options: ArchiveOptions,
    only: StageName | None,
    server: tuple[str | None, str | None],
    progress: ArchiveProgress,
    jobs: int,
) -> None:
    from steno import compose
    from steno.archive.raw_files import RawFiles
    from steno.archive.recording_run import RecordingRun

    fetcher = compose.fetcher_of(config)
    try:
        async with _tools(config, options, *server) as tools:
            tools.recognizer.check_language(options.language)
            archive.set_options(options)
            recording_run = RecordingRun(archive, tools, RawFiles(archive, fetcher), only)
            waiting = iter(progress.recordings)
            async with asyncio.TaskGroup() as group:
                for _ in range(jobs):
                    group.create_task(_some(waiting, recording_run, progress))
    finally:
        await fetcher.aclose()


def _on_ray(
    archive: ArchiveFolder,
    config: Settings,
    options: ArchiveOptions,
    only: StageName | None,
    progress: ArchiveProgress,
    cluster: tuple[str, int, float],
) -> None:
    from steno.deploy.ray_archive import ClusterOptions, run_on_cluster
    from steno.errors import UnsupportedLanguageError
    from steno.languages import code_of

    # The actors check whether their backend supports it.
    language = (options.language or "").strip().lower()
    if language not in ("", "auto", "und") and code_of(language) is None:
        raise UnsupportedLanguageError(f"{language[:50]!r} is not a known language", param="language")
    archive.set_options(options)
    folder = archive.path.resolve()
    for report in run_on_cluster(folder, progress.recordings, config, options, only, ClusterOptions(*cluster)):
        if report.problem is not None:
            progress.failed(report.recording, report.problem)
        else:
            progress.finished(report.recording, report.outcome)


async def _some(waiting: Iterator[str], recording_run: RecordingRun, progress: ArchiveProgress) -> None:
    """Work on recordings until none waits."""
    from steno.archive.recording_run import problem_of

    for recording in waiting:
        try:
            with progress.of(recording) as report:
                outcome = await recording_run.run(recording, report)
        except Exception as error:  # noqa: BLE001 - one recording never stops the others
            progress.failed(recording, problem_of(error))
        else:
            progress.finished(recording, outcome)


@asynccontextmanager
async def _tools(
    config: Settings, options: ArchiveOptions, url: str | None, api_key: str | None
) -> AsyncIterator[StageTools]:
    """An engine in this process, or a server. Models are loaded when they are needed."""
    from steno import compose
    from steno.archive.stages.stage import StageTools

    if url is not None:
        from steno.cli.server_recognizer import ServerRecognizer
        from steno.client import Client

        with Client(url, api_key) as client:
            recognizer = ServerRecognizer(client, await asyncio.to_thread(client.get, "/health"))
            opener = compose.opener_of(config, compose.MAX_PIECE_S, compose.ARCHIVE_AUDIO_S)
            try:
                yield StageTools(opener, recognizer, options)
            finally:
                await opener.aclose()
        return
    async with compose.archive_tools_of(config, options) as tools:
        yield tools
