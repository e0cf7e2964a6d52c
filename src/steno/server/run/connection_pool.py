"""All open connections of a server, how many there may be, and which gives way to a new one."""

from __future__ import annotations

from typing import Protocol

READ_BYTES = 64 * 1024
MAX_REFUSED = 64
"""Connections beyond the limit that are open to be refused in words; more are closed without any."""


class Pooled(Protocol):
    def give_way(self) -> None:
        """Close: no request is under way here."""


class ConnectionPool:
    """Counts connections; the one that is idle the longest gives way where there are too many.

    Args:
        max_connections: beyond it requests are refused, unless an idle connection gives way.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._idle: dict[Pooled, None] = {}
        """Without a request, in the order in which they became so."""
        self._busy: set[Pooled] = set()
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        """Of all connections: what is read is taken out of it at once."""

    @property
    def is_full(self) -> bool:
        """Whether the requests that are under way leave no room for one more."""
        return len(self._busy) >= self._max_connections

    def add(self, connection: Pooled) -> bool:
        """Whether it may stay."""
        if len(self._idle) + len(self._busy) >= self._max_connections:
            self._make_room()
        if len(self._idle) + len(self._busy) >= self._max_connections + MAX_REFUSED:
            return False
        self._idle[connection] = None
        return True

    def is_busy(self, connection: Pooled) -> None:
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)

    def is_idle(self, connection: Pooled) -> None:
        if connection in self._busy:
            self._busy.remove(connection)
            self._idle[connection] = None

    def remove(self, connection: Pooled) -> None:
        self._idle.pop(connection, None)
        self._busy.discard(connection)

    def _make_room(self) -> None:
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            self.remove(oldest)
            oldest.give_way()
