"""`steno archive review`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False), metavar="[DIR]")
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, metavar="N", help="Port to listen on; 0 = a free one.")
def review(folder: Path | None, host: str, port: int | None) -> None:
    """Review an archive in a browser: transcript, chat and sound on one timeline.

    It shows whether the chat's clock is right, and sets anchors where it is not; segments are accepted or rejected by
    keyboard, those of low confidence first. Both go to the manifests. Nothing leaves this machine. DIR is the archive;
    default: ARCHIVE_DIR, else the folder "archive" here.

    \b
    steno archive review
    steno archive review /data/vods --port 9000
    """
    from steno import logs, settings
    from steno.server.app import create_app
    from steno.server.run.serve import serve

    config = settings.load(host=host, port=port, archive_dir=folder)
    if config.archive_dir is None:
        config = settings.load(host=host, port=port, archive_dir=Path("archive"))
    logs.setup("WARNING" if config.log_level == "INFO" else config.log_level, config.log_json)
    serve(create_app(config), config, lambda url: click.echo(f"review the archive at {url}/archive  (stop: Ctrl-C)"))
