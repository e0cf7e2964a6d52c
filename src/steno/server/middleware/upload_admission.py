"""Admission of uploads: a full server refuses before it reads the body; a request with a complete body is admitted to
the engine. A client that is still sending takes no capacity.

The admission lasts until the request ends, its streamed response included. All work that the request started is
cancelled with it, also if the client disconnects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from steno.engine.counts import Counts
from steno.engine.front import Engine
from steno.engine.ticket import Ticket
from steno.errors import DrainingError, StenoError
from steno.server.middleware.path_prefix import local_path
from steno.server.middleware.refusal import address_of, refuse
from steno.server.middleware.upload_limits import UploadBody, UploadCounter, UploadLimits, check_length, client_of

UPLOADS = ("/v1/audio/", "/api/v1/align", "/v1/listen", "/asr", "/detect-language")
"""Beginnings of addresses."""
STORED = "/v1/jobs"
"""Takes recordings whose work is done later: bodies have the limits of uploads, but are not admitted to the engine."""


@dataclass(frozen=True, slots=True)
class AdmittedUpload:
    """A request's ticket, and what to close when the request ends. Routes get it from `admitted_upload_of`."""

    ticket: Ticket
    cleanup: AsyncExitStack


class UploadAdmission:
    """The middleware.

    Args:
        receiving: called with the number of bodies being received.
    """

    def __init__(
        self,
        app: ASGIApp,
        engine: Engine,
        limits: UploadLimits,
        receiving: Callable[[int], None],
        counts: Counts | None = None,
    ) -> None:
        self._app = app
        self._engine = engine
        self._limits = limits
        self._receiving = UploadCounter(limits.max_per_client, receiving, counts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        path = local_path(scope) if is_post else ""
        is_stored = path.rstrip("/") == STORED
        if not (is_stored or path.startswith(UPLOADS)):
            await self._app(scope, receive, send)
            return
        body = UploadBody(receive, self._limits)
        try:
            check_length(scope, self._limits)
            if not is_stored:
                self._engine.check_room(client=address_of(scope))
            async with AsyncExitStack() as cleanup:
                with ExitStack() as receiving:
                    receiving.enter_context(self._receiving.body_of(client_of(scope)))
                    exchange = _RequestMessages(
                        scope, body, send, self._engine, cleanup, receiving, is_stored=is_stored
                    )
                    await _serve(self._app, scope, exchange, receive)
        except StenoError as error:
            await refuse(error, scope, receive, send, body_is_read=body.is_complete)


def admitted_upload_of(scope: Scope) -> AdmittedUpload:
    """The admission of a request whose body is complete."""
    upload = scope["steno.upload"]
    assert isinstance(upload, AdmittedUpload)
    return upload


async def _serve(app: ASGIApp, scope: Scope, exchange: _RequestMessages, receive: Receive) -> None:
    """Run the app. Cancel it if the client disconnects, or if the server drains before the body is complete."""
    serving = asyncio.ensure_future(app(scope, exchange.receive, exchange.send))
    watching = asyncio.create_task(exchange.watch_disconnect(receive), name="disconnect watch")
    try:
        await asyncio.wait([serving, watching], return_when=asyncio.FIRST_COMPLETED)
        if not serving.done() and not exchange.answered:
            logger.info("the request ended early; cancelling its work")
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
    """One request's ASGI messages: admits the request once its body is complete, and detects when to cancel it."""

    def __init__(
        self,
        scope: Scope,
        body: UploadBody,
        send: Send,
        engine: Engine,
        cleanup: AsyncExitStack,
        receiving: ExitStack,
        *,
        is_stored: bool,
    ) -> None:
        self._is_stored = is_stored
        self._scope = scope
        self._body = body
        self._send = send
        self._engine = engine
        self._cleanup = cleanup
        self._receiving = receiving
        self.error: StenoError | None = None
        """The error that the client gets in place of the app's response."""
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
                await self._admit()
        except StenoError as error:
            self.error = error
            raise
        return message

    async def send(self, message: Message) -> None:
        if self.error is not None:
            return  # the framework turns an error of `receive` into a generic response; ours is sent instead
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.answered = True

    async def watch_disconnect(self, receive: Receive) -> None:
        """Return when the server drains while the body is incomplete, or when the client disconnects. After the body,
        only this method calls `receive`."""
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

    async def _admit(self) -> None:
        self._receiving.close()
        if self._is_stored:
            self._body_done.set()
            return
        upload = self._engine.admit(timeout_s=self._body.time_left_s, client=address_of(self._scope))
        ticket = await self._cleanup.enter_async_context(upload)
        self._scope["steno.upload"] = AdmittedUpload(ticket, self._cleanup)
        self._body_done.set()
