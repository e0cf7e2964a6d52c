"""The transport that a guarded connection gives to its parser."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol


class ParserGuard(Protocol):
    """What a parser's transport calls on the guarded connection."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def set_parser_paused(self, paused: bool) -> None:
        """Pause or resume passing data to the parser."""

    def switch_to_websocket(self, parser: asyncio.Protocol) -> None:
        """Pass all further data to another parser."""


class ParserTransport(asyncio.Transport):
    """Forwards writes, closing and pausing to the guard, and everything else to the real transport."""

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
        self._guard.set_parser_paused(True)

    def resume_reading(self) -> None:
        self._guard.set_parser_paused(False)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._guard.switch_to_websocket(protocol)
