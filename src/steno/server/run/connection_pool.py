"""Limits a server's open connections; evicts idle ones in favour of new ones."""

from __future__ import annotations

from typing import Protocol

READ_BYTES = 64 * 1024
MAX_REFUSED = 64
"""Connections beyond the limit that get an error response. Further ones are closed without one."""


class PooledConnection(Protocol):
    def evict(self) -> None:
        """Close. The connection is idle."""


class ConnectionPool:
    """Counts connections; at the limit it evicts the one that has been idle longest.

    Args:
        max_connections: above it requests are refused, unless an idle connection can be evicted.
    """

    def __init__(self, max_connections: int) -> None:
        self._max_connections = max_connections
        self._idle: dict[PooledConnection, None] = {}
        """Connections without a request, longest idle first."""
        self._busy: set[PooledConnection] = set()
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        """Shared by all connections; each copies what it reads at once."""

    @property
    def is_full(self) -> bool:
        """Whether as many requests are in progress as connections are allowed."""
        return len(self._busy) >= self._max_connections

    def add(self, connection: PooledConnection) -> bool:
        """Add a connection. Returns False if it must be closed at once."""
        if len(self._idle) + len(self._busy) >= self._max_connections:
            self._evict_idle()
        if len(self._idle) + len(self._busy) >= self._max_connections + MAX_REFUSED:
            return False
        self._idle[connection] = None
        return True

    def mark_busy(self, connection: PooledConnection) -> None:
        if connection in self._idle:
            del self._idle[connection]
            self._busy.add(connection)

    def mark_idle(self, connection: PooledConnection) -> None:
        if connection in self._busy:
            self._busy.remove(connection)
            self._idle[connection] = None

    def remove(self, connection: PooledConnection) -> None:
        self._idle.pop(connection, None)
        self._busy.discard(connection)

    def _evict_idle(self) -> None:
        oldest = next(iter(self._idle), None)
        if oldest is not None:
            self.remove(oldest)
            oldest.evict()
