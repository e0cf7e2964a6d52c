"""Running the app: uvicorn by default, granian on demand, one way to drain for both.

SIGTERM or Ctrl-C: `/ready` says 503, newcomers get a 503 with `Retry-After`, what runs is finished (for up to
`DRAIN_TIMEOUT`), exit code 0. A second signal ends at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType

from fastapi import FastAPI
from loguru import logger

from steno.errors import SettingsError
from steno.server.services import Services
from steno.settings import Settings

CLOSE_S = 5
"""Seconds that connections without a request get to close, once the work is done."""


def serve(app: FastAPI, settings: Settings, on_start: Callable[[str], None]) -> None:
    """Serve until a signal; `on_start` gets the URL once the server answers.

    Raises:
        SettingsError: the address cannot be listened on.
    """
    if settings.is_public and not settings.api_keys:
        logger.warning(
            "{}:{} is open to the network without API_KEYS: anybody can use it", settings.host, settings.port
        )
    with _listen(settings.host, settings.port) as listener:
        scheme = "https" if settings.ssl_certfile else "http"
        url = f"{scheme}://{_printable(settings.host)}:{listener.getsockname()[1]}"
        run = _serve_granian if settings.use_granian else _serve_uvicorn
        with contextlib.suppress(KeyboardInterrupt):
            _run(run(app, settings, listener, lambda: on_start(url)))


def _run(main: object) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]


async def _serve_uvicorn(
    app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]
) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=CLOSE_S,
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Signals are ours: they drain first."""
            yield

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                on_start()

    server = Server(config)

    def stop() -> None:
        server.should_exit = True

    drain = asyncio.create_task(_drain_on_signal(app, settings.drain_timeout, stop), name="drain")
    try:
        await server.serve([listener])
    finally:
        drain.cancel()
        await asyncio.wait([drain])


async def _serve_granian(
    app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]
) -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    host, port = listener.getsockname()[:2]
    listener.close()  # granian binds for itself
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        log_enabled=False,
        ssl_cert=settings.ssl_certfile,
        ssl_key=settings.ssl_keyfile,
        backpressure=settings.max_connections,
    )

    drain = asyncio.create_task(_drain_on_signal(app, settings.drain_timeout, server.stop), name="drain")
    answering = asyncio.create_task(_when_answering(host, port, on_start), name="startup watch")
    try:
        await server.serve()
    finally:
        for task in (drain, answering):
            task.cancel()
        await asyncio.wait([drain, answering])


async def _drain_on_signal(app: FastAPI, timeout_s: float, stop: Callable[[], None]) -> None:
    """Wait for a signal, then for the work to end, then stop the server; a second signal ends the work."""
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
    logger.info("draining: {} requests are under way and get up to {:g} s", engine.active, timeout_s)
    idle, impatient = asyncio.create_task(engine.idle()), asyncio.create_task(signals.get())
    try:
        await asyncio.wait([idle, impatient], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if engine.active:
            logger.warning("{} requests are cut off", engine.active)
            engine.cut_off()
        stop()
        await impatient
    finally:
        idle.cancel()
        impatient.cancel()


async def _when_answering(host: str, port: int, then: Callable[[], None]) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        then()
        return


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise SettingsError(f"cannot listen on HOST={host} PORT={port}: {error.strerror}; choose another") from None
    listener.listen(1024)
    return listener


def _printable(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
