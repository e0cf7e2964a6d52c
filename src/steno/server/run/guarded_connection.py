"""A connection that checks its bytes before the HTTP or WebSocket parser gets them.

It is an asyncio protocol for the event loop and an asyncio transport for the parser. It adds bounds (`request_gate`,
`frame_gate`), one request at a time, bounded work per event loop iteration, a time limit for a request's head, and a
readable error response for a refused client.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from steno.errors import StenoError, UnavailableError
from steno.server.live.connection import KEY
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.connection_pool import ConnectionPool
from steno.server.run.frame_gate import FrameError, FrameGate
from steno.server.run.parser_transport import ParserTransport
from steno.server.run.refusal_bytes import PING, close_frame_bytes, error_response_bytes, is_close_frame
from steno.server.run.request_gate import RequestGate
from steno.server.run.send_queue import unacknowledged_bytes

HEAD_S = 20.0
"""Time limit for a request's head, after which the connection is closed. `KEEP_ALIVE_S` bounds the pause before it."""
PIECES_PER_TURN = 16
"""Max heads, frames or parts of bodies passed to the parser per event loop iteration."""
MAX_BUFFERED_BYTES = 16 * 1024
"""Reading pauses if more bytes than this are buffered that must not be passed to the parser yet."""
LINGER_S, LINGER_BYTES = 2.0, 4 * 2**20
"""Time and bytes for which a refused client's data is read and discarded: a reset would destroy the response."""
WATCH_S = 0.4
"""Interval of the check for a dead live client."""

_CURRENT: contextvars.ContextVar[GuardedConnection] = contextvars.ContextVar("steno connection")


class GuardedConnection(asyncio.BufferedProtocol):
    """Guards one connection.

    Args:
        parser: gets the checked bytes; may replace itself for WebSockets (`Transport.set_protocol`).
        pool: all open connections.
    """

    def __init__(self, parser: asyncio.Protocol, pool: ConnectionPool) -> None:
        self._parser: asyncio.Protocol | None = parser
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._gate: RequestGate | FrameGate = RequestGate()
        self._is_responding = False
        """A request is in progress; the next one waits."""
        self._response_started = False
        self._paused_by_parser = self._paused = self._pump_is_due = False
        self._is_open_socket = False
        """The WebSocket handshake is complete."""
        self._discarded: int | None = None
        """Bytes discarded since the client was refused; None = not refused."""
        self._lost = asyncio.Event()
        self._taken_at = self._loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._context = contextvars.copy_context()
        self._context.run(_CURRENT.set, self)

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no such base
        if not self._pool.add(self):
            self._parser = None
            self._transport.abort()
            return
        assert self._parser is not None
        self._parser.connection_made(ParserTransport(self, self._transport))
        self._start_head_timer()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._pool.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._discarded is not None:
            self._discard(nbytes)
            return
        self._gate.feed(self._pool.read_buffer[:nbytes])
        if self._gate.at_head and not self._is_responding and self._head_timer is None:
            self._start_head_timer()
        self._pump()

    def eof_received(self) -> bool | None:
        return None if self._parser is None else self._parser.eof_received()

    def pause_writing(self) -> None:
        if self._parser is not None:
            self._parser.pause_writing()

    def resume_writing(self) -> None:
        if self._parser is not None:
            self._parser.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.remove(self)
        self._stop_head_timer()
        self._detach_parser(exc)
        self._context = contextvars.Context()  # breaks the reference cycle with the old context

    # Called by the parser, through its transport

    def write(self, data: bytes) -> None:
        if self._parser is None:
            return
        if isinstance(self._gate, FrameGate) and not self._is_open_socket:
            self._is_open_socket = bytes(data[:12]) == b"HTTP/1.1 101"
            self._pump_soon()
        self._response_started = True
        self._transport.write(data)

    def close(self) -> None:
        """Close after the parser's last write. A live client that does not read the rest is aborted."""
        if self._parser is None:
            return
        if isinstance(self._gate, FrameGate) and self._is_open_socket and not self._gate.is_closed:
            self._linger(CLOSE_S)  # data that the client still sends would reset the connection and the close frame
            return
        self._transport.close()
        if self._is_open_socket:
            self._loop.call_later(CLOSE_S, self._transport.abort)

    def set_parser_paused(self, paused: bool) -> None:
        self._paused_by_parser = paused
        if not paused and (self._paused or self._gate.pending):
            self._pump_soon()

    def switch_to_websocket(self, parser: asyncio.Protocol) -> None:
        self._parser = parser
        data = self._gate.rest() if isinstance(self._gate, RequestGate) else b""
        self._gate = FrameGate(self._loop.time)
        self._gate.feed(data)
        self._pool.mark_busy(self)
        self._watch()

    # Called by the pool

    def evict(self) -> None:
        """Close this idle connection in favour of a new one."""
        self._transport.close()

    # Called by the application, through the scope

    async def lost(self) -> None:
        await self._lost.wait()

    def untaken_s(self) -> float:
        return self._loop.time() - self._taken_at

    def limit_text(self, max_bytes: int) -> None:
        if isinstance(self._gate, FrameGate):
            self._gate.max_text_bytes = max_bytes

    def ignore_input(self) -> None:
        self._discarded = 0
        self._loop.call_later(LINGER_S, self._transport.close)

    def request_done(self) -> None:
        """Mark the request as finished and allow the next."""
        self._is_responding = False
        self._pool.mark_idle(self)
        self._pump_soon()

    # Passing data to the parser

    def _pump(self) -> None:
        self._pump_is_due = False
        try:
            for _ in range(PIECES_PER_TURN):
                if self._parser is None or self._is_blocked:
                    break
                piece = self._next_piece()
                if piece is None:
                    break
                self._context.run(self._parser.data_received, piece)
            else:
                self._pump_soon()
        except StenoError as error:
            self._refuse(error)
        except FrameError as error:
            self._send_close_frame(error)
        self._set_reading()

    def _next_piece(self) -> bytes | None:
        is_head = self._gate.at_head
        piece = self._gate.take()
        if is_head and piece is not None:
            self._stop_head_timer()
            if self._pool.is_full:
                raise UnavailableError("the server has reached its maximum of open connections", retry_after_s=5.0)
            self._is_responding, self._response_started = True, False
            self._pool.mark_busy(self)
        return piece

    @property
    def _is_blocked(self) -> bool:
        if isinstance(self._gate, FrameGate):
            return self._paused_by_parser or not self._is_open_socket
        return self._paused_by_parser or (self._is_responding and self._gate.at_head)

    def _pump_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _set_reading(self) -> None:
        if self._discarded is not None or self._transport.is_closing():
            return
        paused = self._pump_is_due or (self._is_blocked and self._gate.pending > MAX_BUFFERED_BYTES)
        if paused != self._paused:
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    # Refusing

    def _refuse(self, error: StenoError) -> None:
        """Respond in place of the parser, unless its response has started."""
        if self._is_responding and self._response_started:
            self._linger()
            return
        self._transport.write(error_response_bytes(error))
        self._linger()

    def _send_close_frame(self, error: FrameError) -> None:
        if self._is_open_socket:
            self._transport.write(close_frame_bytes(error))
        self._linger()

    def _linger(self, seconds: float = LINGER_S) -> None:
        """Discard incoming data until the client disconnects, for at most `seconds`."""
        self._detach_parser(None)
        self._stop_head_timer()
        self._discarded = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(seconds, self._transport.abort)

    def _discard(self, nbytes: int) -> None:
        assert self._discarded is not None
        self._discarded += nbytes
        if self._discarded > LINGER_BYTES:
            self._transport.abort()
        elif self._is_open_socket and is_close_frame(self._pool.read_buffer[:nbytes]):
            self._transport.close()

    def _detach_parser(self, error: Exception | None) -> None:
        parser, self._parser = self._parser, None
        self._lost.set()
        if parser is not None:
            parser.connection_lost(error)

    # Timers

    def _start_head_timer(self) -> None:
        self._head_timer = self._loop.call_later(HEAD_S, self._transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch(self) -> None:
        """Detect a dead live client. While reading is paused, only a write reveals it, so send pings."""
        if self._parser is None or self._transport.is_closing():
            return
        if not unacknowledged_bytes(self._transport):
            self._taken_at = self._loop.time()
        if self._paused and self._is_open_socket:
            self._transport.write(PING)
        self._loop.call_later(WATCH_S, self._watch)


def with_connection(app: ASGIApp) -> ASGIApp:
    """Wrap the app: put the connection into the scope, and notify it when a request has finished."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        connection = _CURRENT.get()
        scope[KEY] = connection
        try:
            await app(scope, receive, send)
        finally:
            if scope["type"] == "http":
                connection.request_done()

    return guarded
