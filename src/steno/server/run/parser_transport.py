"""The transport that a parser behind a guard gets in place of the real one."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class ParserGuard(Protocol):
    """What a parser may ask of its connection."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def hold(self, paused: bool) -> None:
        """Hand on nothing until it is called with False."""

    def become_websocket(self, parser: asyncio.Protocol) -> None:
        """Hand on what comes from now on to another parser."""


class ParserTransport(asyncio.Transport):
    """Passes on what the guard has to know of, and asks the real transport for the rest."""

    def __init__(self, guard: ParserGuard, transport: asyncio.Transport) -> None:
        super().__init__()
        self._guard = guard
        self._transport = transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._guard.close()

    def abort(self) -> None:
        self._transport.abort()

    def write(self, data: Any) -> None:
        self._guard.write(data)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._guard.hold(True)

    def resume_reading(self) -> None:
        self._guard.hold(False)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._guard.become_websocket(protocol)
