"""`steno worker`: the process that holds the models for `GATEWAY_MODE`. `steno serve` starts it; people don't."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import click

from steno.cli.collection import collection_paused

if TYPE_CHECKING:
    from steno.engine.worker.worker_server import WorkerServer

PR_SET_PDEATHSIG = 1
"""From `linux/prctl.h`."""


@click.command(hidden=True)
@click.option("--listener", type=int, required=True, metavar="FD", help="Descriptor of the listening socket.")
@click.option("--parent", type=int, required=True, metavar="FD", help="Descriptor that ends with the parent.")
def command(listener: int, parent: int) -> None:
    """Hold the models for a server; started by `steno serve` with GATEWAY_MODE."""
    _end_with_parent()
    with collection_paused():
        from loguru import logger

        from steno import compose, logs, otel_tracer, settings

    config = settings.load()
    logs.setup(config.log_level, config.log_json)
    logger.configure(extra={"request_id": "worker"})
    with otel_tracer.exported_spans("worker", says_missing=False):
        asyncio.run(_serve(compose.worker_of(config), socket.socket(fileno=listener), socket.socket(fileno=parent)))


def _end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, the supervisor's main one: a worker that hangs
    does not see the end of its socket."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))


async def _serve(server: WorkerServer, listener: socket.socket, parent: socket.socket) -> None:
    """Serve until SIGTERM, or until the worker is idle. The end of the parent ends this process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the parent handles Ctrl-C
    parent.setblocking(False)
    loop.add_reader(parent, lambda: os._exit(1))
    await server.run(listener, stop)
