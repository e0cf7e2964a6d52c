"""What a live session may know of its connection, and tell it: in a WebSocket's scope, where the server can."""

from __future__ import annotations

from typing import Protocol, cast

from starlette.types import Scope

KEY = "steno.connection"


class LiveConnection(Protocol):
    """A client's connection, below HTTP and WebSocket."""

    async def lost(self) -> None:
        """Return when the connection is lost, also while nothing is read from it."""

    def untaken_s(self) -> float:
        """Seconds for which the client has not taken all that was sent to it."""

    def limit_text(self, max_bytes: int) -> None:
        """A longer text message ends the connection with close code 1009, before it is held in memory."""

    def ignore_input(self) -> None:
        """Discard what comes from now on, and close soon: this client is refused."""


def connection_of(scope: Scope) -> LiveConnection | None:
    """None under a server that cannot tell (granian)."""
    return cast("LiveConnection | None", scope.get(KEY))
