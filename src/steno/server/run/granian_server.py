"""granian as an `AsgiServer`, embedded in our event loop. It has its own keep-alive and ignores `KEEP_ALIVE_S`."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from fastapi import FastAPI
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server
from granian.utils.proxies import wrap_asgi_with_proxy_headers

from steno.server.run.asgi_server import announce
from steno.settings import Settings

HEAD_MS = 20_000
"""Time limit for a request's head, after which the connection is closed."""


class GranianServer:
    def __init__(self, app: FastAPI, settings: Settings, listener: socket.socket, on_start: Callable[[], None]) -> None:
        self._address = listener.getsockname()[:2]
        listener.close()  # granian binds the address itself
        self._on_start = on_start
        host, port = self._address
        self._server = Server(
            # uvicorn reads the same variable.
            wrap_asgi_with_proxy_headers(app, trusted_hosts=os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")),
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            log_enabled=False,
            ssl_cert=settings.ssl_certfile,
            ssl_key=settings.ssl_keyfile,
            backpressure=settings.max_connections,
            http1_settings=HTTP1Settings(header_read_timeout=HEAD_MS),
        )

    async def run(self) -> None:
        announcing = asyncio.create_task(self._announce(), name="startup watch")
        try:
            await self._server.serve()
        finally:
            announcing.cancel()
            await asyncio.wait([announcing])

    def stop(self) -> None:
        self._server.stop()  # type: ignore[no-untyped-call]

    async def _announce(self) -> None:
        """Poll until a connection succeeds, because granian does not report its start."""
        while True:
            try:
                _, writer = await asyncio.open_connection(*self._address)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            announce(self._on_start)
            return
