"""Runs the app with uvicorn, or granian if set, and drains it on a signal.

SIGTERM or Ctrl-C: `/ready` and new requests get a 503 (with `Retry-After`), work in progress has up to `DRAIN_TIMEOUT`
to finish, exit code 0. A second signal cancels the work; waiting clients get an error. A third ends the process.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

from fastapi import FastAPI
from loguru import logger

from steno.server.run.asgi_server import CLOSE_S, AsgiServer
from steno.server.run.listener import listen, url_of
from steno.server.services import Services
from steno.settings import Settings

GARBAGE_THRESHOLD = 10_000
"""New objects between two collections of garbage. With Python's 700, these took 4 % of the CPU of 200 streams."""


def serve(app: FastAPI, settings: Settings, on_start: Callable[[str], None]) -> None:
    """Serve until a signal; `on_start` gets the URL once the server answers.

    Raises:
        SettingsError: the server cannot listen on the address, or the certificate is invalid.
    """
    with listen(settings) as listener:
        url = url_of(settings, listener)
        serve_on(listener, app, settings, lambda: on_start(url))


def serve_on(listener: socket.socket, app: FastAPI, settings: Settings, on_start: Callable[[], None]) -> None:
    """As `serve`, on a socket that listens."""
    _run(_serve(app, settings, listener, on_start))


def _run(main: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _serve(app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> None:
    gc.freeze()  # what was made so far lives as long as the process
    gc.set_threshold(GARBAGE_THRESHOLD)
    server = _server(app, settings, listener, on_start)
    running = asyncio.create_task(server.run(), name="server")
    draining = asyncio.create_task(_drain_on_signal(app, settings.drain_timeout, server), name="drain")
    try:
        await asyncio.wait([running, draining], return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            await asyncio.wait([running], timeout=CLOSE_S + 1)
        if not running.done():
            logger.warning("connections did not close in {} s; leaving them", CLOSE_S)
            logger.remove()  # flushes the log
            os._exit(0)  # the server's threads would keep the process alive; decoders end with their pipe
        running.result()
    finally:
        draining.cancel()
        await asyncio.wait([draining])


def _server(app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> AsgiServer:
    if settings.use_granian:
        from steno.server.run.granian_server import GranianServer

        return GranianServer(app, settings, listener, on_start)
    from steno.server.run.uvicorn_server import UvicornServer

    return UvicornServer(app, settings, listener, on_start)


async def _drain_on_signal(app: FastAPI, timeout_s: float, server: AsgiServer) -> None:
    """Wait for a signal, then for the work to finish, then stop the server. A second signal cancels the work."""
    signals: asyncio.Queue[int] = asyncio.Queue()

    def received(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(signals.put_nowait, number)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, received)
    await signals.get()
    services = app.state.services
    assert isinstance(services, Services)
    engine = services.engine
    engine.drain()
    logger.info("draining: {} requests in progress have up to {:g} s to finish", engine.active, timeout_s)
    idle, second_signal = asyncio.create_task(engine.idle()), asyncio.create_task(signals.get())
    try:
        await asyncio.wait([idle, second_signal], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if engine.active:
            logger.warning("cancelling {} requests", engine.active)
            engine.cut_off()
            await asyncio.wait([idle], timeout=CLOSE_S)
    finally:
        idle.cancel()
        second_signal.cancel()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    server.stop()
