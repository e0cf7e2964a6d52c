"""`steno serve`."""

from __future__ import annotations

import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from steno import __version__, numa, settings, settings_reference
from steno.cli.collection import collection_paused


class _Command(click.Command):
    """Lists the environment variables below the options."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for group, rows in settings_reference.help_lines():
            with formatter.section(f"Environment: {group}"):
                formatter.write_dl(rows)
        formatter.write_paragraph()
        formatter.write_text("A command line option overrides its variable.")


@click.command(cls=_Command)
@click.option("--host", metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=int, metavar="N", help="Port to listen on; 0 = a free one.")
@click.option(
    "--ssl-certfile", type=click.Path(path_type=Path), metavar="PEM", help="Serve HTTPS with this certificate."
)
@click.option("--ssl-keyfile", type=click.Path(path_type=Path), metavar="PEM", help="Private key of --ssl-certfile.")
def command(**options: Any) -> None:
    """Start the server: OpenAI's transcription API, docs at /docs, metrics at /metrics.

    Environment variables configure everything. By default, the embedded recogniser transcribes English on any machine.

    \b
    steno serve
    PORT=9000 API_KEYS=secret1,secret2 steno serve --host 0.0.0.0
    """
    from steno.cli.memory_check import check_memory

    check_memory()
    config = settings.load(**options)
    if config.numa_node is not None:
        numa.bind_to_node(config.numa_node)  # before the imports below: libraries start threads
    from steno import logs

    logs.setup(config.log_level, config.log_json)

    def started(url: str) -> None:
        click.echo(banner(url, with_key=bool(config.api_keys)))

    if config.fronts > 1:
        from steno.server.run.front_supervisor import supervise

        overrides = {name.upper(): str(value) for name, value in options.items() if value is not None}
        sys.exit(supervise(config, overrides, started))
    with collection_paused():
        from steno import otel_tracer
        from steno.server.app import create_app
        from steno.server.run.serve import serve
    with otel_tracer.exported_spans("server"):
        with collection_paused():
            app = create_app(config)
        serve(app, config, started)


def banner(url: str, *, with_key: bool) -> str:
    """The text that is printed once the server is up: commands to try, and addresses."""
    sample = sample_path()
    key = " -H 'Authorization: Bearer YOUR_KEY'" if with_key else ""
    option = " --api-key YOUR_KEY" if with_key else ""
    return f"""
steno {__version__} is listening on {url}

  try:
    curl {url}/v1/audio/transcriptions{key} -F file=@{sample}
    curl {url}/v1/audio/transcriptions{key} -F file=@{sample} -F response_format=verbose_json
    {_program()} transcribe --url {url}{option} {sample}

  live captions: {url}   docs: {url}/docs   health: {url}/health   stop: Ctrl-C
"""


def sample_path() -> str:
    """Path of the shipped recording; relative if that is shorter."""
    path = str(files("steno") / "sample.flac")
    return min(path, os.path.relpath(path), key=len)


def _program() -> str:
    local = Path(".venv/bin/steno")
    return str(local) if local.exists() else "steno"
