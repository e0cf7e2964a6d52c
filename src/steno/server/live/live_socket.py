"""One live client: its socket on one side, a dialect in the middle, a `LiveStream` on the other.

Two tasks: one listens, one speaks. Whichever ends first ends the session, and so do the clock, the server's end and a
connection that is lost. What is left is said, in this order: the last events, a farewell or a complaint, a close code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from steno.errors import DrainingError, InvalidRequestError, SessionEndedError, SlowReaderError, StenoError
from steno.pipelines.live.live_stream import LiveStream
from steno.pipelines.live.notices import Draining, Notice
from steno.server.leaky_bucket import LeakyBucket
from steno.server.live.connection import connection_of
from steno.server.live.dialects.base import (
    AudioInput,
    Close,
    Command,
    Configure,
    Dialect,
    Flush,
    Frame,
    KeepAlive,
    Message,
    Reply,
    Reset,
)
from steno.server.live.dialects.frames import MAX_JSON_BYTES, take_apart

NORMAL, GOING_AWAY, POLICY, TOO_BIG, INTERNAL, RESTART, TRY_AGAIN = 1000, 1001, 1008, 1009, 1011, 1012, 1013
"""Close codes: RFC 6455, 7.4.1, and its registry at IANA."""
FINISH_S = 1200.0
"""What is left of a session gets so long to be told. Its work has deadlines of its own; this is for the unforeseen."""
FAREWELL_S = 2.0
RECONNECT_S = 1.0
"""A session that was drained may continue on another server after so long: this one has refused clients for a while."""
MAX_BAD_FRAMES, BAD_FRAMES_PER_S = 10, 0.2
"""A client may send so many wrong frames at once, and one more every five seconds."""
UTTERANCE_SHARE = 0.7
"""Of the time for draining: so long an utterance may go on; then it is recognised."""
MAX_REASON_BYTES = 120
"""A close frame holds 123 (RFC 6455, 5.5)."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    idle_s: float
    """After so long without a frame the server closes."""
    max_s: float
    """A session's longest life; 0 = any."""
    slow_reader_s: float
    """A client that does not take a message in this time is given up."""
    drain_s: float = 30.0
    """What sessions get to end in when the server is to end."""
    max_text_bytes: int = MAX_JSON_BYTES
    """A longer text frame ends the session."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended."""

    reason: str
    code: int
    error: StenoError | None = None
    """What the client is told first."""


GONE = SessionEnd("gone", NORMAL)
"""The client hung up."""
ASKED = SessionEnd("closed", NORMAL)
"""The client asked to close."""


class LiveSocket:
    """Drives one session from its greeting to its close. The socket is accepted already."""

    def __init__(self, socket: WebSocket, dialect: Dialect, stream: LiveStream, limits: SocketLimits) -> None:
        self._socket = socket
        self._connection = connection_of(socket.scope)
        self._dialect = dialect
        self._stream = stream
        self._limits = limits
        stream.outbox.takes_progress = dialect.follows_progress
        self._listening_since: float | None = None
        """When it began to wait for the next frame; None = it is handling one."""
        self._bad_frames = LeakyBucket(MAX_BAD_FRAMES, BAD_FRAMES_PER_S, asyncio.get_running_loop().time)
        self._obeying = asyncio.Lock()
        """Held while a frame's commands are carried out: half of one would leave the stream waiting for the rest."""

    async def run(self, shutting_down: asyncio.Task[None]) -> SessionEnd:
        """Returns when the session is over. `shutting_down` ends when the server is to end."""
        speaking = asyncio.create_task(self._speak(), name="live speak")
        listening = asyncio.create_task(self._listen(), name="live listen")
        idle = asyncio.create_task(self._idle(), name="live idle")
        lost = asyncio.create_task(self._lost(), name="live lost")
        others = (speaking, listening, idle, lost)
        try:
            await self._wait(*others, shutting_down)
            if shutting_down.done() and not any(task.done() for task in others):
                await self._let_utterance_end(*others)
            ending = GONE if lost.done() else _first_of((listening, speaking, idle), shutting_down)
            if ending.reason not in ("gone", "slow"):
                await self._wind_up(ending, speaking, listening)
            return ending
        finally:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    async def _wait(self, *tasks: asyncio.Task[SessionEnd] | asyncio.Task[None]) -> None:
        await asyncio.wait(tasks, timeout=self._limits.max_s or None, return_when=asyncio.FIRST_COMPLETED)

    async def _let_utterance_end(self, *others: asyncio.Task[SessionEnd] | asyncio.Task[None]) -> None:
        """The server is to end: say so now, and listen until the utterance that is being spoken is over."""
        self._stream.outbox.put(Draining(_shut_down()))
        over = asyncio.create_task(self._stream.utterance_over(), name="live utterance over")
        try:
            timeout_s = UTTERANCE_SHARE * self._limits.drain_s
            await asyncio.wait([over, *others], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            await asyncio.wait([over])

    async def _wind_up(
        self, ending: SessionEnd, speaking: asyncio.Task[SessionEnd], listening: asyncio.Task[SessionEnd]
    ) -> None:
        """Let what was said be recognised and told, unless the client goes; then say farewell, or why it ends."""
        if not await self._stop(listening, unless=speaking):
            return
        watching = asyncio.create_task(self._until_gone(), name="live watch")
        finishing = asyncio.create_task(self._finish(ending), name="live finish")
        try:
            await asyncio.wait([watching, finishing, speaking], timeout=FINISH_S, return_when=asyncio.FIRST_COMPLETED)
            if finishing.done() and not speaking.done():
                await asyncio.wait([watching, speaking], timeout=FINISH_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (watching, finishing):
                task.cancel()
            await asyncio.wait([watching, finishing])
        for task in (watching, finishing):
            if not task.cancelled() and (error := task.exception()):
                raise error

    async def _stop(self, listening: asyncio.Task[SessionEnd], *, unless: asyncio.Task[SessionEnd]) -> bool:
        """End the listening between two frames. It may be held up in one until the client reads, or for ever."""

        async def between_frames() -> None:
            async with self._obeying:
                listening.cancel()
            await asyncio.wait([listening])

        stopping = asyncio.create_task(between_frames(), name="live stop")
        await asyncio.wait([stopping, unless], timeout=FINISH_S, return_when=asyncio.FIRST_COMPLETED)
        stopped = stopping.done() and not unless.done()
        stopping.cancel()
        await asyncio.wait([stopping])
        return stopped

    async def _finish(self, ending: SessionEnd) -> None:
        await self._stream.finish()
        last = self._dialect.complaint(ending.error) if ending.error else self._dialect.farewell(self._stream.audio_s)
        for message in last:
            self._stream.outbox.put(Notice(message))
        self._stream.outbox.close()

    async def _lost(self) -> None:
        if self._connection is None:
            await asyncio.Event().wait()
        else:
            await self._connection.lost()

    async def _until_gone(self) -> None:
        """What a client sends after the end is not heard."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass

    async def _listen(self) -> SessionEnd:
        clock = asyncio.get_running_loop().time
        while True:
            self._listening_since = clock()
            message = await self._socket.receive()
            self._listening_since = None
            if message["type"] == "websocket.disconnect":
                return GONE
            frame: Frame | None = message.get("bytes")
            if frame is None:
                frame = message.get("text") or ""
                if len(frame) > self._limits.max_text_bytes:
                    return self._too_big()
                if len(frame) > MAX_JSON_BYTES:
                    frame = await asyncio.to_thread(take_apart, frame)
            ending = await self._obey_all(self._dialect.receive(frame))
            if ending is not None:
                return ending

    async def _idle(self) -> SessionEnd:
        """Return once nothing came for `idle_s`. Frames set no timer: there are ten a second and stream."""
        clock = asyncio.get_running_loop().time
        while True:
            since = self._listening_since
            left_s = self._limits.idle_s if since is None else since + self._limits.idle_s - clock()
            if left_s <= 0:
                return self._silent()
            await asyncio.sleep(left_s)

    async def _obey_all(self, commands: Sequence[Command]) -> SessionEnd | None:
        """Carry out a frame's commands; how the session ends, if they end it."""
        async with self._obeying:
            for command in commands:
                if isinstance(command, Close):
                    return ASKED
                await self._obey(command)
                if isinstance(command, Reply) and command.is_complaint and not self._bad_frames.add():
                    text = f"more than {MAX_BAD_FRAMES} frames were wrong; each was answered with what was wrong"
                    return SessionEnd("misbehaving", POLICY, InvalidRequestError(text))
        return None

    def _too_big(self) -> SessionEnd:
        text = f"a text frame may have {self._limits.max_text_bytes} bytes; audio goes into binary frames"
        return SessionEnd("misbehaving", TOO_BIG, InvalidRequestError(text))

    def _silent(self) -> SessionEnd:
        """Nothing came. A client whose buffers are full may be silent for that alone: its TCP discards acknowledgements
        together with the data that it has no room for. It is slow, though every message was handed to the system."""
        if self._connection is not None and self._connection.untaken_s() > self._limits.slow_reader_s:
            return self._slow()
        return SessionEnd("idle", GOING_AWAY, SessionEndedError(f"nothing came for {self._limits.idle_s:g} s"))

    def _slow(self) -> SessionEnd:
        text = f"messages were not read for {self._limits.slow_reader_s:g} s"
        return SessionEnd("slow", POLICY, SlowReaderError(text))

    async def _obey(self, command: Command) -> None:
        stream = self._stream
        match command:
            case AudioInput():
                await stream.feed(command.data)
            case Flush():
                await stream.flush()
            case Reset():
                await stream.reset()
            case Configure():
                await stream.configure(command.options)
            case Reply():
                await stream.outbox.room()
                stream.outbox.put(Notice(command.message))
            case KeepAlive() | Close():
                pass

    async def _speak(self) -> SessionEnd:
        try:
            await self._send(self._dialect.greeting())
            while (item := await self._stream.outbox.get()) is not None:
                await self._send([dict(item.message)] if isinstance(item, Notice) else self._dialect.encode(item))
        except TimeoutError:
            return self._slow()
        except (WebSocketDisconnect, RuntimeError):
            return GONE
        return ASKED

    async def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            async with asyncio.timeout(self._limits.slow_reader_s):
                await self._socket.send_text(_json(self._dialect.outgoing(message)))


def _json(message: Message) -> str:
    text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair, which JSON may hold, is no character


async def close(socket: WebSocket, ending: SessionEnd) -> None:
    """Close in the protocol's way, if the client is still there."""
    if ending is GONE:
        return
    reason = ending.error.message.encode()[:MAX_REASON_BYTES].decode(errors="ignore") if ending.error else ""
    with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        async with asyncio.timeout(FAREWELL_S):
            await socket.close(ending.code, reason)


def _shut_down() -> DrainingError:
    return DrainingError("the server is shutting down; connect again", retry_after_s=RECONNECT_S)


def _first_of(tasks: Sequence[asyncio.Task[SessionEnd]], shutting_down: asyncio.Task[None]) -> SessionEnd:
    """Why the wait is over. Raises what a task raised."""
    for task in tasks:
        if task.done():
            return task.result()
    if shutting_down.done():
        return SessionEnd("draining", RESTART, _shut_down())
    return SessionEnd("lifetime", GOING_AWAY, SessionEndedError("the session was open for as long as one may be"))
