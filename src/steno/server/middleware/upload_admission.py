"""The way in for uploads: a full server refuses before a byte of the body is read, and a request whose body is complete
gets a place in the engine. A client that is still sending holds none.

The place is held until the request ends, its streamed answer included, and everything that the request started ends
with it, also when the client hangs up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.engine.engine import Engine
from steno.engine.ticket import Ticket
from steno.errors import DrainingError, StenoError
from steno.server.middleware.path_prefix import local_path
from steno.server.middleware.refusal import address_of, refuse
from steno.server.middleware.upload_limits import UploadBody, UploadCounter, UploadLimits, check_length, client_of

UPLOADS = "/v1/audio/"


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """A request's ticket, and what is to be closed when it ends. Routes find it with `place_of`."""

    ticket: Ticket
    cleanup: AsyncExitStack


class UploadAdmission:
    """See the module.

    Args:
        receiving: is told how many bodies are being received.
    """

    def __init__(self, app: ASGIApp, engine: Engine, limits: UploadLimits, receiving: Callable[[int], None]) -> None:
        self._app = app
        self._engine = engine
        self._limits = limits
        self._receiving = UploadCounter(limits.max_per_client, receiving)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not local_path(scope).startswith(UPLOADS):
            await self._app(scope, receive, send)
            return
        body = UploadBody(receive, self._limits)
        try:
            check_length(scope, self._limits)
            self._engine.check_room(client=address_of(scope))
            async with AsyncExitStack() as cleanup:
                with ExitStack() as receiving:
                    receiving.enter_context(self._receiving.body_of(client_of(scope)))
                    exchange = _RequestMessages(scope, body, send, self._engine, cleanup, receiving)
                    await _serve(self._app, scope, exchange, receive)
        except StenoError as error:
            await refuse(error, scope, receive, send, body_is_read=body.is_complete)


def place_of(scope: Scope) -> UploadPlace:
    """The place of a request whose body is complete."""
    place = scope["steno.place"]
    assert isinstance(place, UploadPlace)
    return place


async def _serve(app: ASGIApp, scope: Scope, exchange: _RequestMessages, receive: Receive) -> None:
    """Run the app; cancel it if it is to end before the client has its answer."""
    serving = asyncio.ensure_future(app(scope, exchange.receive, exchange.send))
    watching = asyncio.create_task(exchange.cut_off(receive), name="disconnect watch")
    try:
        await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done() and not exchange.answered:
            logger.info("the request is cut off; its work is cancelled")
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


class _RequestMessages:
    """One request's messages: takes its place once the body is complete, and notices when it is to end."""

    def __init__(
        self, scope: Scope, body: UploadBody, send: Send, engine: Engine, cleanup: AsyncExitStack, receiving: ExitStack
    ) -> None:
        self._scope = scope
        self._body = body
        self._send = send
        self._engine = engine
        self._cleanup = cleanup
        self._receiving = receiving
        self.error: StenoError | None = None
        """Why the request has no answer of the app."""
        self._body_done = asyncio.Event()
        self._gone = asyncio.Event()
        self.answered = False

    async def receive(self) -> Message:
        if self._body_done.is_set():
            await self._gone.wait()
            return {"type": "http.disconnect"}
        try:
            message = await self._body.next()
            if not message.get("more_body", False):
                await self._take_place()
        except StenoError as error:
            self.error = error
            raise
        return message

    async def send(self, message: Message) -> None:
        if self.error is not None:
            return  # the framework makes an answer of its own out of an error of `receive`; ours is the better one
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True

    async def cut_off(self, receive: Receive) -> None:
        """Returns when the server is to end while the body is still coming, or the client is gone. The only one to
        receive once the body is complete."""
        draining = asyncio.create_task(self._engine.shutting_down(), name="drain watch")
        complete = asyncio.create_task(self._body_done.wait(), name="body watch")
        try:
            await asyncio.wait([draining, complete], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (draining, complete):
                task.cancel()
        if not self._body_done.is_set():
            self.error = DrainingError()
            return
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def _take_place(self) -> None:
        self._receiving.close()
        place = self._engine.admit(timeout_s=self._body.time_left_s, client=address_of(self._scope))
        ticket = await self._cleanup.enter_async_context(place)
        self._scope["steno.place"] = UploadPlace(ticket, self._cleanup)
        self._body_done.set()
