"""A live stream as tasks: one reads the audio, and for each connection one sends it and one listens.

Sending and listening do not wait for each other. Reading waits while `KEPT_S` of audio has no final that the consumer
took: so a slow server, a lost connection and a slow consumer all hold up the source, and nothing grows or is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from steno.client.exceptions import BacklogError, ConnectionLostError, error_of
from steno.client.http_api import ServerUrl
from steno.client.inbox import Inbox
from steno.client.messages import Event
from steno.client.pulling import AudioSource, chunks_of
from steno.client.replay_buffer import KEPT_S, ReplayBuffer
from steno.client.stream_options import StreamOptions
from steno.client.websocket import BrokenOffError, ClientSocket, UnreachedError, line_to
from steno.errors import DrainingError, OverloadedError, SessionEndedError, SlowReaderError, StenoError

PART = 1 << 15
IDLE_S, FULL_S = 5.0, 1.0
"""Without audio a ping goes out after this, and sooner where more is to be read once the server has heard enough."""
STALL_S = 60.0
GREETING_S = 30.0
MAX_WAITING = 256
"""Events; a minute of raw audio has fewer. Of a container's nobody knows, so there the server is not read then."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 5.0
LATE_S = 0.5
"""A client comes so much later than it was told at most. The server keeps its place for a few seconds."""

log = logging.getLogger("steno.client")


async def converse(server: ServerUrl, options: StreamOptions, audio: AudioSource) -> AsyncGenerator[Event, None]:
    """Stream `audio`, and yield what comes of it. Raises what `AsyncClient.stream` does."""
    conversation = _Conversation(server, options, audio)
    working = asyncio.create_task(conversation.run(), name="steno stream")
    try:
        while (event := await conversation.next()) is not None:
            yield event
        await working
    finally:
        working.cancel()
        await asyncio.wait([working])


class _Conversation:
    def __init__(self, server: ServerUrl, options: StreamOptions, audio: AudioSource) -> None:
        self._server = server
        self._options = options
        self._audio = audio
        self._ledger = ReplayBuffer(options)
        self._inbox = Inbox()
        self._moved = asyncio.Event()
        self._patience = _Patience(options.reconnect_s)
        self._is_connected = self._was_connected = False

    async def next(self) -> Event | None:
        """What the consumer is to have next; None at the end."""
        event = await self._inbox.get()
        if event is not None:
            self._ledger.took(event)
            self._ring()
        return event

    async def run(self) -> None:
        """Returns when everything has been heard."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(), name="steno read")
                await self._talk()
                reading.cancel()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._inbox.close()

    async def _read(self) -> None:
        async with aclosing(chunks_of(self._audio)) as chunks:
            async for chunk in chunks:
                for begin in range(0, len(chunk), PART):
                    await self._room()
                    self._ledger.append(chunk[begin : begin + PART])
                    self._ring()
        self._ledger.ended = True
        self._ring()

    async def _room(self) -> None:
        """Raises BacklogError: the server has said nothing of what it has for so long that it never will."""
        clock = asyncio.get_running_loop().time
        since, confirmed = clock(), self._ledger.confirmed
        while not self._ledger.has_room:
            await self._move(FULL_S)
            if self._ledger.confirmed != confirmed or self._inbox or not self._is_connected:
                since, confirmed = clock(), self._ledger.confirmed
            elif clock() - since > STALL_S:
                text = f"the server has told nothing of the last {KEPT_S:g} s of audio, and no more is kept"
                raise BacklogError(text)

    async def _talk(self) -> None:
        while True:
            try:
                await self._connection()
                return
            except BrokenOffError as error:
                if self._ledger.is_complete:
                    return
                lost: StenoError = ConnectionLostError(f"the connection to the server was lost: {error}")
            except (OverloadedError, DrainingError, SessionEndedError, SlowReaderError) as error:
                lost = error
            except UnreachedError as error:
                if not self._was_connected:
                    raise
                lost = error
            self._is_connected = False
            pause_s = self._patience.pause_after(lost, asyncio.get_running_loop().time())
            log.warning("%s; trying again in %.1f s", lost.message, pause_s)
            await asyncio.sleep(pause_s)

    async def _connection(self) -> None:
        """Returns when the server has said farewell."""
        async with line_to(self._server, self._ledger.begin_connection()) as line:
            await self._greet(line)
            self._is_connected = self._was_connected = True
            sending = asyncio.create_task(self._send(line), name="steno send")
            try:
                await self._listen(line)
            finally:
                sending.cancel()
                await asyncio.wait([sending])

    async def _greet(self, line: ClientSocket) -> None:
        try:
            async with asyncio.timeout(GREETING_S):
                greeting = await line.receive()
        except TimeoutError:
            raise BrokenOffError(f"no greeting in {GREETING_S:g} s") from None
        if greeting.get("status") == "error":
            raise error_of(greeting)
        self._ledger.hear(greeting, asyncio.get_running_loop().time())
        if first := self._options.first_message:
            await line.send(first)

    async def _listen(self, line: ClientSocket) -> None:
        clock = asyncio.get_running_loop().time
        while (message := await line.receive()).get("status") != "closed":
            event = self._ledger.hear(message, clock())
            if event is not None:
                self._inbox.put(event)
            while len(self._inbox) >= MAX_WAITING:
                await self._moved.wait()
            self._patience.renew()
            self._ring()

    async def _send(self, line: ClientSocket) -> None:
        """A connection that breaks is for `_listen` to tell: it may hear why."""
        ledger = self._ledger
        try:
            while True:
                if frame := ledger.next_frame():
                    await line.send(frame)
                    self._ring()
                elif ledger.ended:
                    await line.send({"action": "close"})
                    return
                is_idle = not frame and not await self._move(IDLE_S if ledger.has_room else FULL_S)
                if is_idle or ledger.ping_is_due():
                    await line.send({"action": "ping"})
                    ledger.pinged()
        except BrokenOffError:
            return

    async def _move(self, seconds: float) -> bool:
        """Whether anything happened in this time."""
        try:
            async with asyncio.timeout(seconds):
                return await self._moved.wait()
        except TimeoutError:
            return False

    def _ring(self) -> None:
        """Wake whoever waits for something to happen."""
        self._moved.set()
        self._moved.clear()


class _Patience:
    """How long to wait before the next try: exponentially longer, and never in step with other clients."""

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self.renew()

    def renew(self) -> None:
        """The server talks: whatever comes is a new trouble."""
        self._until: float | None = None
        self._tries = 0

    def pause_after(self, error: StenoError, now: float) -> float:
        """Raises `error`: its time is up."""
        self._until = now + self._total_s if self._until is None else self._until
        left_s = self._until - now
        pause_s = min(FIRST_PAUSE_S * 2.0**self._tries, MAX_PAUSE_S) * random.uniform(0.5, 1.0)
        self._tries += 1
        if isinstance(error, OverloadedError | DrainingError):
            pause_s = error.retry_after_s + random.uniform(0.0, LATE_S)
        elif left_s > FIRST_PAUSE_S:
            pause_s = min(pause_s, left_s)
        if pause_s > left_s:
            raise error
        return pause_s
