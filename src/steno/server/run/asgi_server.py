"""The interface that the uvicorn and granian servers implement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

CLOSE_S = 5
"""Seconds in which connections must close after all work is done."""


class AsgiServer(Protocol):
    """A server that can run and stop."""

    async def run(self) -> None:
        """Serve until stopped."""

    def stop(self) -> None:
        """Accept no new connections, close the open ones, and let `run` return."""


def announce(on_start: Callable[[], None]) -> None:
    """Report that the server is up. A closed terminal does not stop the server."""
    with contextlib.suppress(OSError, ValueError):
        on_start()
