"""A live stream's tasks: one reads the audio; for each connection, one sends and one receives.

Sending and receiving are independent. Reading pauses while `KEPT_S` of audio has no final that the consumer took, so a
slow server, a lost connection and a slow consumer all back-pressure the source. Memory stays bounded, and no audio is
dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from steno.client.exceptions import BacklogError, ConnectionLostError, error_of
from steno.client.http_api import ServerUrl
from steno.client.inbox import Inbox
from steno.client.messages import Event
from steno.client.pulling import AudioSource, chunks_of
from steno.client.replay_buffer import KEPT_S, ReplayBuffer
from steno.client.stream_options import StreamOptions
from steno.client.websocket import ClientSocket, ConnectFailedError, SocketClosedError, open_socket
from steno.errors import DrainingError, OverloadedError, SessionEndedError, SlowReaderError, StenoError

PART = 1 << 15
IDLE_S, FULL_S = 5.0, 1.0
"""Interval of pings without audio: `IDLE_S`, or `FULL_S` while reading waits for the server to confirm audio."""
STALL_S = 60.0
GREETING_S = 30.0
MAX_WAITING = 256
"""Max queued events. A minute of raw audio has fewer; for containers, which have no such bound, receiving pauses."""
FIRST_PAUSE_S, MAX_PAUSE_S = 0.25, 5.0
LATE_S = 0.5
"""Max random delay after the server's retry time. The server reserves capacity for a few seconds."""

log = logging.getLogger("steno.client")


async def converse(
    servers: Sequence[ServerUrl], options: StreamOptions, audio: AudioSource
) -> AsyncGenerator[Event, None]:
    """Stream `audio` to one of `servers` at a time and yield its events. Raises what `AsyncClient.stream` does."""
    conversation = _Conversation(servers, options, audio)
    working = asyncio.create_task(conversation.run(), name="steno stream")
    try:
        while (event := await conversation.next()) is not None:
            yield event
        await working
    finally:
        working.cancel()
        await asyncio.wait([working])


class _Conversation:
    def __init__(self, servers: Sequence[ServerUrl], options: StreamOptions, audio: AudioSource) -> None:
        self._servers = deque(servers)
        """The first is in use; after an error it becomes the last."""
        self._options = options
        self._audio = audio
        self._buffer = ReplayBuffer(options)
        self._inbox = Inbox()
        self._changed = asyncio.Event()
        self._retries = _RetryPolicy(options.reconnect_s, len(servers))
        self._unreachable = 0
        """Servers that could not be reached, one after the other."""
        self._is_connected = self._was_connected = False

    async def next(self) -> Event | None:
        """The next event for the consumer; None at the end."""
        event = await self._inbox.get()
        if event is not None:
            self._buffer.mark_taken(event)
            self._notify()
        return event

    async def run(self) -> None:
        """Return when all audio has been recognised."""
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(), name="steno read")
                await self._reconnect()
                reading.cancel()
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._inbox.close()

    async def _read(self) -> None:
        async with aclosing(chunks_of(self._audio)) as chunks:
            async for chunk in chunks:
                for begin in range(0, len(chunk), PART):
                    await self._wait_for_room()
                    self._buffer.append(chunk[begin : begin + PART])
                    self._notify()
        self._buffer.ended = True
        self._notify()

    async def _wait_for_room(self) -> None:
        """Wait until more audio may be kept. Raises BacklogError if the server confirms nothing for `STALL_S`."""
        clock = asyncio.get_running_loop().time
        since, confirmed = clock(), self._buffer.confirmed
        while not self._buffer.has_room:
            await self._wait_for_change(FULL_S)
            if self._buffer.confirmed != confirmed or self._inbox or not self._is_connected:
                since, confirmed = clock(), self._buffer.confirmed
            elif clock() - since > STALL_S:
                text = f"the server has confirmed nothing of the last {KEPT_S:g} s of audio, the most that is kept"
                raise BacklogError(text)

    async def _reconnect(self) -> None:
        while True:
            try:
                await self._connection()
                return
            except SocketClosedError as error:
                if self._buffer.is_complete:
                    return
                lost: StenoError = ConnectionLostError(f"the connection to the server was lost: {error}")
            except (OverloadedError, DrainingError, SessionEndedError, SlowReaderError) as error:
                lost = error
                self._unreachable = 0
            except ConnectFailedError as error:
                self._unreachable += 1
                if not self._was_connected and self._unreachable == len(self._servers):
                    raise
                lost = error
            self._is_connected = False
            self._servers.rotate(-1)
            pause_s = self._retries.pause_after(lost, asyncio.get_running_loop().time())
            log.warning("%s; retrying in %.1f s", lost.message, pause_s)
            await asyncio.sleep(pause_s)

    async def _connection(self) -> None:
        """Run one connection; return when the server has closed the session."""
        async with open_socket(self._servers[0], self._buffer.begin_connection()) as socket:
            await self._start(socket)
            self._is_connected = self._was_connected = True
            sending = asyncio.create_task(self._send(socket), name="steno send")
            try:
                await self._receive(socket)
            finally:
                sending.cancel()
                await asyncio.wait([sending])

    async def _start(self, socket: ClientSocket) -> None:
        try:
            async with asyncio.timeout(GREETING_S):
                connected = await socket.receive()
        except TimeoutError:
            raise SocketClosedError(f"no greeting in {GREETING_S:g} s") from None
        if connected.get("status") == "error":
            raise error_of(connected)
        self._buffer.handle(connected, asyncio.get_running_loop().time())
        if first := self._options.first_message:
            await socket.send(first)

    async def _receive(self, socket: ClientSocket) -> None:
        clock = asyncio.get_running_loop().time
        while (message := await socket.receive()).get("status") != "closed":
            event = self._buffer.handle(message, clock())
            if event is not None:
                self._inbox.put(event)
            while len(self._inbox) >= MAX_WAITING:
                await self._changed.wait()
            self._retries.reset()
            self._notify()

    async def _send(self, socket: ClientSocket) -> None:
        """Send audio and pings. `_receive` reports a lost connection, because it may get the reason."""
        buffer = self._buffer
        try:
            while True:
                if frame := buffer.next_frame():
                    await socket.send(frame)
                    self._notify()
                elif buffer.ended:
                    await socket.send({"action": "close"})
                    return
                is_idle = not frame and not await self._wait_for_change(IDLE_S if buffer.has_room else FULL_S)
                if is_idle or buffer.ping_is_due():
                    await socket.send({"action": "ping"})
                    buffer.pinged()
        except SocketClosedError:
            return

    async def _wait_for_change(self, seconds: float) -> bool:
        """Wait for a change; return whether there was one within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await self._changed.wait()
        except TimeoutError:
            return False

    def _notify(self) -> None:
        """Wake all tasks that wait for a change."""
        self._changed.set()
        self._changed.clear()


class _RetryPolicy:
    """Pauses between retries: exponential backoff with jitter, after each of `servers` has failed once."""

    def __init__(self, total_s: float, servers: int = 1) -> None:
        self._total_s = total_s
        self._servers = servers
        self.reset()

    def reset(self) -> None:
        """A message arrived: start over with the next error."""
        self._until: float | None = None
        self._tries = 0

    def pause_after(self, error: StenoError, now: float) -> float:
        """Seconds to wait before the next retry. Raises `error` when `total_s` has passed."""
        self._until = now + self._total_s if self._until is None else self._until
        left_s = self._until - now
        rounds, tried = divmod(self._tries, self._servers)
        pause_s = min(FIRST_PAUSE_S * 2.0**rounds, MAX_PAUSE_S) * random.uniform(0.5, 1.0)
        self._tries += 1
        if tried < self._servers - 1:
            pause_s = random.uniform(0.0, FIRST_PAUSE_S)  # not all clients of a server that shuts down at once
        elif isinstance(error, OverloadedError | DrainingError):
            pause_s = error.retry_after_s + random.uniform(0.0, LATE_S)
        elif left_s > FIRST_PAUSE_S:
            pause_s = min(pause_s, left_s)
        if pause_s > left_s:
            raise error
        return pause_s
