"""The way in for uploads: a place in the engine before a byte of the body is read, and limits on that body.

The place is held for the whole life of the request, its streamed answer included, and everything that the request
started ends with it, also when the client hangs up.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.engine.engine import Engine
from steno.engine.ticket import Ticket
from steno.errors import AudioTooLargeError, StenoError, UploadStalledError
from steno.server.refusal import refuse

UPLOADS = "/v1/audio/"


@dataclass(frozen=True, slots=True)
class Place:
    """A request's ticket, and what is to be closed when it ends. Routes find it with `place_of`."""

    ticket: Ticket
    cleanup: AsyncExitStack


@dataclass(frozen=True, slots=True)
class UploadLimits:
    max_bytes: int
    idle_s: float = 30.0
    """A body that sends nothing for so long is given up."""


class Admission:
    """See the module."""

    def __init__(self, app: ASGIApp, engine: Engine, limits: UploadLimits) -> None:
        self._app = app
        self._engine = engine
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(UPLOADS):
            await self._app(scope, receive, send)
            return
        try:
            _check_length(scope, self._limits)
            async with self._engine.admit() as ticket, AsyncExitStack() as cleanup:
                scope["steno.place"] = Place(ticket, cleanup)
                await _serve(self._app, scope, _Exchange(receive, send, ticket, self._limits))
        except StenoError as error:
            await refuse(error, scope, receive, send)


def place_of(scope: Scope) -> Place:
    place = scope["steno.place"]
    assert isinstance(place, Place)
    return place


async def _serve(app: ASGIApp, scope: Scope, exchange: _Exchange) -> None:
    """Run the app; cancel it if the client hangs up before it has its answer."""
    serving = asyncio.ensure_future(app(scope, exchange.receive, exchange.send))
    watching = asyncio.create_task(exchange.hung_up(), name="disconnect watch")
    try:
        await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done() and not exchange.answered:
            logger.info("the client hung up; its work is cancelled")
            serving.cancel()
        await asyncio.wait([serving])
    finally:
        for task in (serving, watching):
            task.cancel()
        await asyncio.wait([serving, watching])
    if exchange.error is not None:
        raise exchange.error
    if not serving.cancelled():
        serving.result()


class _Exchange:
    """One request's messages: bounds the body, and notices when the client is gone."""

    def __init__(self, receive: Receive, send: Send, ticket: Ticket, limits: UploadLimits) -> None:
        self._ticket = ticket
        self._receive = receive
        self._send = send
        self._limits = limits
        self._bytes = 0
        self.error: StenoError | None = None
        """What was wrong with the body."""
        self._body_done = asyncio.Event()
        self._gone = asyncio.Event()
        self.answered = False

    async def receive(self) -> Message:
        if self._body_done.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        try:
            async with self._ticket.in_time("all of its audio had arrived"):
                message = await self._next_message()
        except StenoError as error:
            self.error = error
            raise
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.max_bytes:
            self.error = _too_large(self._limits)
            raise self.error
        if not message.get("more_body", False):
            self._body_done.set()
        return message

    async def send(self, message: Message) -> None:
        if self.error is not None:
            return  # the framework makes an answer of its own out of an error of `receive`; ours is the better one
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True

    async def hung_up(self) -> None:
        """Returns when the client is gone. The only one to receive once the body is complete."""
        await self._body_done.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _next_message(self) -> Message:
        try:
            async with asyncio.timeout(self._limits.idle_s):
                return await self._receive()
        except TimeoutError:
            text = f"the upload sent nothing for {self._limits.idle_s:g} s; send it again"
            raise UploadStalledError(text) from None


def _check_length(scope: Scope, limits: UploadLimits) -> None:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limits.max_bytes:
            raise _too_large(limits)


def _too_large(limits: UploadLimits) -> AudioTooLargeError:
    return AudioTooLargeError(f"the upload is larger than {limits.max_bytes / 2**20:g} MiB, the most that is taken")
