"""`steno serve_front`: one of the processes that serve a port together; `steno serve` starts it with FRONTS."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import click

from steno.cli.collection import collection_paused


@click.command(hidden=True)
@click.option("--number", type=int, required=True, help="From 0.")
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="What the fronts share.")
@click.option("--listener", type=int, required=True, metavar="FD", help="Descriptor of the listening socket.")
@click.option("--supervisor", type=int, required=True, metavar="FD", help="Descriptor that ends with the supervisor.")
@click.option("--worker", "workers", multiple=True, type=click.Path(path_type=Path), help="Address of a worker.")
def command(number: int, folder: Path, listener: int, supervisor: int, workers: tuple[Path, ...]) -> None:
    """Serve a port together with other processes; started by `steno serve` with FRONTS."""
    with collection_paused():
        from loguru import logger

        from steno import logs, otel_tracer, settings
        from steno.server import metrics
        from steno.server.app import create_app
        from steno.server.front_role import role_of
        from steno.server.run.serve import serve_on

    config = settings.load()
    logs.setup(config.log_level, config.log_json)
    logger.configure(extra={"request_id": f"front-{number}"})
    metrics.share_as(number)
    parent = socket.socket(fileno=supervisor)
    with otel_tracer.exported_spans("front", says_missing=number == 0), socket.socket(fileno=listener) as inherited:
        with collection_paused():
            app = create_app(config, role_of(number, config.fronts, folder, workers))
        serve_on(inherited, app, config, lambda: _started(parent))


def _started(parent: socket.socket) -> None:
    """Tell the supervisor. Its end ends this process at once."""
    parent.setblocking(False)
    try:
        parent.send(b"1")
    except OSError:
        os._exit(1)
    asyncio.get_running_loop().add_reader(parent, lambda: os._exit(1))
