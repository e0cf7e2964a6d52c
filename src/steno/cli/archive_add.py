"""`steno archive add`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from steno.cli.archive_option import archive_option
from steno.cli.inputs import expand, in_folders
from steno.cli.main import EXIT_FAILED, EXIT_INTERRUPTED


@click.command()
@click.argument("recordings", nargs=-1, required=True, metavar="PATH|URL...")
@click.option(
    "--chat", type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The chat log of the recording (one PATH or URL).",
)  # fmt: skip
@click.option("--copy", "copies", is_flag=True, help="Copy files into the archive. Default: they stay where they are.")
@archive_option
def add(recordings: tuple[str, ...], chat: Path | None, copies: bool, folder: Path) -> int:
    """Add recordings to an archive, and print their ids. The archive is made if the folder is new.

    PATH is a file, a pattern ('talks/*.mp4') or a folder (the recordings in it). A URL is fetched by `run`. What was
    added before is not added again: a file that has changed is noticed by `run`.

    \b
    steno archive add vods/ 'talks/*.mp4'
    steno archive add vod.mp4 --chat vod.chat.json
    steno archive add https://media.example.org/talk.mp3 -a lectures
    """
    from steno.archive.archive_folder import ArchiveFolder
    from steno.archive.raw_files import RawFiles, is_url

    sources = _sources(recordings)
    if chat is not None and len(sources) != 1:
        raise click.UsageError("--chat belongs to one recording; add the others without it")
    if copies and any(is_url(source) for source in sources):
        raise click.UsageError("--copy is for files: what is fetched from a URL is in the archive anyway")
    archive = ArchiveFolder.create(folder)
    failures = 0
    try:
        for source in sources:
            manifest, is_new = archive.add(source, str(chat.resolve()) if chat is not None else None)
            try:
                if copies:
                    asyncio.run(RawFiles(archive).copy(manifest.id))
            except OSError as error:
                failures += 1
                click.echo(f"steno: {source}: not copied: {error.strerror or error}", err=True)
            click.echo(manifest.id)
            if not is_new:
                click.echo(f"{source}: was added before", err=True)
    except KeyboardInterrupt:
        click.echo("steno: interrupted; repeat the command to add the rest", err=True)
        return EXIT_INTERRUPTED
    return EXIT_FAILED if failures else 0


def _sources(arguments: tuple[str, ...]) -> list[str]:
    """Absolute paths, and URLs. Raises UsageError: there is no such file."""
    from steno.archive.raw_files import is_url

    sources: list[str] = []
    for argument in arguments:
        if is_url(argument):
            sources.append(argument)
            continue
        for match in in_folders([argument]) if Path(argument).is_dir() else expand(argument):
            if not Path(match).is_file():
                raise click.UsageError(f"{match}: no such file")
            sources.append(str(Path(match).resolve()))
    return list(dict.fromkeys(sources))
