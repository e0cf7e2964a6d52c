"""What uvicorn and granian have in common here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

CLOSE_S = 5
"""Seconds that connections get to close, once the work is done."""


class AsgiServer(Protocol):
    """A server under way."""

    async def run(self) -> None:
        """Serve until stopped."""

    def stop(self) -> None:
        """Take no new connections, close the open ones, and let `run` return."""


def announce(on_start: Callable[[], None]) -> None:
    """Tell that the server is up; a terminal that is gone does not stop it."""
    with contextlib.suppress(OSError, ValueError):
        on_start()
