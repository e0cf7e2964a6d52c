"""A connection whose bytes are counted before the HTTP or WebSocket parser behind it sees them.

It is an asyncio protocol to the event loop and an asyncio transport to the parser; it knows nothing else of the two.
What it adds: bounds (`request_gate`, `frame_gate`), one request at a time, little work in each turn of the loop, a
limit on the time that a request's head takes, and an answer that a client which is turned away can read.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from http import HTTPStatus
from typing import cast

from loguru import logger
from starlette.types import ASGIApp, Receive, Scope, Send

from steno.errors import StenoError, UnavailableError
from steno.server.http.error_response import response_of
from steno.server.live.connection import KEY
from steno.server.run.asgi_server import CLOSE_S
from steno.server.run.connection_pool import ConnectionPool
from steno.server.run.frame_gate import FrameError, FrameGate
from steno.server.run.parser_transport import ParserTransport
from steno.server.run.request_gate import RequestGate
from steno.server.run.send_queue import unacknowledged_bytes

HEAD_S = 20.0
"""A connection that has not sent a request's head in this time is closed; `KEEP_ALIVE_S` is for the pause before it."""
PIECES_PER_TURN = 16
"""Heads, frames or parts of bodies that are handed on in one turn of the event loop."""
MAX_HELD_BYTES = 16 * 1024
"""With more than this at hand that may not be handed on, nothing more is read."""
LINGER_S, LINGER_BYTES = 2.0, 4 * 2**20
"""What a client that was turned away still sends is read for so long: a reset would take the answer with it."""
WATCH_S = 0.4
CLOSE_FRAME = 0x88
"""The first byte of one (RFC 6455, 5.2)."""
MASKED_HEAD_BYTES = 6
"""Of a client's control frame (RFC 6455, 5.2)."""
PING = b"\x89\x00"
"""A WebSocket ping without payload; its pong is ignored by the parser, which did not send it."""

_CURRENT: contextvars.ContextVar[GuardedConnection] = contextvars.ContextVar("steno connection")


class GuardedConnection(asyncio.BufferedProtocol):
    """See the module.

    Args:
        parser: the protocol behind; it may put another in its place (`Transport.set_protocol`) for WebSockets.
        pool: of all open connections.
    """

    def __init__(self, parser: asyncio.Protocol, pool: ConnectionPool) -> None:
        self._parser: asyncio.Protocol | None = parser
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._gate: RequestGate | FrameGate = RequestGate()
        self._answering = False
        """A request is being answered: the next one waits."""
        self._answer_begun = False
        self._paused_by_parser = self._paused = self._pump_is_due = False
        self._is_open_socket = False
        """The WebSocket handshake is over."""
        self._ignored: int | None = None
        """Bytes discarded since the client was turned away; None: it was not."""
        self._lost = asyncio.Event()
        self._taken_at = self._loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._context = contextvars.copy_context()
        self._context.run(_CURRENT.set, self)

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has no such base
        if not self._pool.add(self):
            self._parser = None
            self._transport.abort()
            return
        assert self._parser is not None
        self._parser.connection_made(ParserTransport(self, self._transport))
        self._expect_head()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._pool.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ignored is not None:
            self._ignore(nbytes)
            return
        self._gate.feed(self._pool.read_buffer[:nbytes])
        if self._gate.at_head and not self._answering and self._head_timer is None:
            self._expect_head()
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
        self._part_from_parser(exc)
        self._context = contextvars.Context()  # the old one refers to this connection

    # What the parser calls, through its transport

    def write(self, data: bytes) -> None:
        if self._parser is None:
            return
        if isinstance(self._gate, FrameGate) and not self._is_open_socket:
            self._is_open_socket = bytes(data[:12]) == b"HTTP/1.1 101"
            self._pump_soon()
        self._answer_begun = True
        self._transport.write(data)

    def close(self) -> None:
        """The parser is done; a live client that does not take the rest is cut off."""
        if self._parser is None:
            return
        if isinstance(self._gate, FrameGate) and self._is_open_socket and not self._gate.is_closed:
            self._linger(
                CLOSE_S
            )  # what this client still sends would reset the connection, and the close frame is lost
            return
        self._transport.close()
        if self._is_open_socket:
            self._loop.call_later(CLOSE_S, self._transport.abort)

    def hold(self, paused: bool) -> None:
        self._paused_by_parser = paused
        if not paused:
            self._pump_soon()

    def become_websocket(self, parser: asyncio.Protocol) -> None:
        self._parser = parser
        data = self._gate.rest() if isinstance(self._gate, RequestGate) else b""
        self._gate = FrameGate(self._loop.time)
        self._gate.feed(data)
        self._pool.is_busy(self)
        self._watch()

    # What the pool calls

    def give_way(self) -> None:
        """Another client needs the place, and no request is under way here."""
        self._transport.close()

    # What the application calls, through the scope

    async def lost(self) -> None:
        await self._lost.wait()

    def untaken_s(self) -> float:
        return self._loop.time() - self._taken_at

    def limit_text(self, max_bytes: int) -> None:
        if isinstance(self._gate, FrameGate):
            self._gate.max_text_bytes = max_bytes

    def ignore_input(self) -> None:
        self._ignored = 0
        self._loop.call_later(LINGER_S, self._transport.close)

    def answered(self) -> None:
        """A request is over: the next may begin."""
        self._answering = False
        self._pool.is_idle(self)
        self._pump_soon()

    # Handing on

    def _pump(self) -> None:
        self._pump_is_due = False
        try:
            for _ in range(PIECES_PER_TURN):
                if self._parser is None or self._is_held:
                    break
                piece = self._next_piece()
                if piece is None:
                    break
                self._context.run(self._parser.data_received, piece)
            else:
                self._pump_soon()
        except StenoError as error:
            self._turn_away(error)
        except FrameError as error:
            self._hang_up(error)
        self._set_reading()

    def _next_piece(self) -> bytes | None:
        is_head = self._gate.at_head
        piece = self._gate.take()
        if is_head and piece is not None:
            self._stop_head_timer()
            if self._pool.is_full:
                raise UnavailableError("the server has as many connections open as it may", retry_after_s=5.0)
            self._answering, self._answer_begun = True, False
            self._pool.is_busy(self)
        return piece

    @property
    def _is_held(self) -> bool:
        if isinstance(self._gate, FrameGate):
            return self._paused_by_parser or not self._is_open_socket
        return self._paused_by_parser or (self._answering and self._gate.at_head)

    def _pump_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _set_reading(self) -> None:
        if self._ignored is not None or self._transport.is_closing():
            return
        paused = self._pump_is_due or (self._is_held and self._gate.pending > MAX_HELD_BYTES)
        if paused != self._paused:
            self._paused = paused
            (self._transport.pause_reading if paused else self._transport.resume_reading)()

    # Turning away

    def _turn_away(self, error: StenoError) -> None:
        """Answer in the parser's place, unless it has begun to."""
        if self._answering and self._answer_begun:
            self._linger()
            return
        request_id = uuid.uuid4().hex
        response = response_of(error, request_id)
        status = HTTPStatus(response.status_code)
        logger.bind(request_id=request_id).debug("a request is refused unread with {}: {}", status, error.message)
        lines = [f"HTTP/1.1 {status} {status.phrase}", "connection: close", "x-content-type-options: nosniff"]
        lines.append(f"x-request-id: {request_id}")
        lines += [f"{name.decode()}: {value.decode()}" for name, value in response.raw_headers]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + bytes(response.body))
        self._linger()

    def _hang_up(self, error: FrameError) -> None:
        payload = error.code.to_bytes(2) + error.reason.encode()
        if self._is_open_socket:
            self._transport.write(bytes([CLOSE_FRAME, len(payload)]) + payload)
        self._linger()

    def _linger(self, seconds: float = LINGER_S) -> None:
        """Discard what the client still sends until it hangs up, for so long at most."""
        self._part_from_parser(None)
        self._stop_head_timer()
        self._ignored = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._loop.call_later(seconds, self._transport.abort)

    def _ignore(self, nbytes: int) -> None:
        assert self._ignored is not None
        self._ignored += nbytes
        if self._ignored > LINGER_BYTES:
            self._transport.abort()
        elif self._is_open_socket and _is_close_frame(self._pool.read_buffer[:nbytes]):
            self._transport.close()

    def _part_from_parser(self, error: Exception | None) -> None:
        parser, self._parser = self._parser, None
        self._lost.set()
        if parser is not None:
            parser.connection_lost(error)

    # Clocks

    def _expect_head(self) -> None:
        self._head_timer = self._loop.call_later(HEAD_S, self._transport.close)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch(self) -> None:
        """While nothing is read from a live client, only writing shows that it is gone."""
        if self._parser is None or self._transport.is_closing():
            return
        if not unacknowledged_bytes(self._transport):
            self._taken_at = self._loop.time()
        if self._paused and self._is_open_socket:
            self._transport.write(PING)
        self._loop.call_later(WATCH_S, self._watch)


def _is_close_frame(data: memoryview) -> bool:
    """Whether this is a client's close frame and nothing else: audio may begin with the same byte."""
    return (
        len(data) >= MASKED_HEAD_BYTES and data[0] == CLOSE_FRAME and len(data) == MASKED_HEAD_BYTES + (data[1] & 0x7F)
    )


def with_connection(app: ASGIApp) -> ASGIApp:
    """The app, with its connection in the scope; the connection learns when a request is over."""

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
                connection.answered()

    return guarded
