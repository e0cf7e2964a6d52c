"""Live sessions as scripts of frames, and checks of their responses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import websockets
from websockets import Subprotocol

from benchmarks.fuzzing.driver import CLIENTS, DOCUMENTED_5XX, HANG_S, MAX_FINDINGS, Finding, Verdict
from benchmarks.fuzzing.requests import Attack

FrameKind: TypeAlias = Literal["text", "binary", "fragments", "ping", "raw"]
"""`fragments`: a text message in pieces; `raw`: bytes that are no frame."""

Ending: TypeAlias = Literal["answer", "close", "abort"]
"""Once all frames are sent: wait for the answer to the last one and close; close at once; cut the connection."""

PROPER_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1012, 1013}
"""Allowed close codes (RFC 6455, 7.4.1; `docs/live.md`); 1011 is a server error."""

NORMAL = 1000
CUT = 1006
"""The connection ended without a close frame."""

FRAGMENT_BYTES = 7


@dataclass(frozen=True, slots=True)
class Frame:
    kind: FrameKind
    data: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """A client from its handshake to its end."""

    name: str
    path: str
    """With the query."""
    frames: tuple[Frame, ...]
    ending: Ending
    answer: str = ""
    """Text that the response to the last frame contains, if it is awaited; empty = the server closes."""
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()

    @property
    def attack(self) -> Attack:
        """To be written down."""
        head = [f"{name}: {value}" for name, value in self.headers]
        lines = [*head, *map(str, self.subprotocols), *(f"{frame.kind} {frame.data!r}" for frame in self.frames)]
        return Attack(self.name, self.path, "\n".join([*lines, self.ending]).encode(), "")


async def attack(
    make_sessions: Callable[[random.Random], Iterator[Session]], url: str, dice: random.Random, seconds: float
) -> Verdict:
    """Run sessions with the server at `url` for a time, a few in parallel, and collect failures."""
    verdict, sessions = Verdict(), make_sessions(dice)
    end = time.monotonic() + seconds

    async def client() -> None:
        while time.monotonic() < end and len(verdict.findings) < MAX_FINDINGS:
            one = next(sessions)
            verdict.by_attack[one.name] += 1
            began = time.monotonic()
            what = await _fault_of(url.replace("http", "ws", 1) + one.path, one, verdict)
            verdict.worst_s = max(verdict.worst_s, time.monotonic() - began)
            if what is not None:
                verdict.findings.append(Finding(what, one.attack))

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return verdict


async def _fault_of(address: str, one: Session, verdict: Verdict) -> str | None:
    """What is wrong with the session; None = nothing."""
    connection = websockets.connect(
        address,
        additional_headers=list(one.headers),
        subprotocols=[Subprotocol(name) for name in one.subprotocols] or None,
        compression=None, max_size=None, ping_interval=None, open_timeout=None,
    )  # fmt: skip
    try:
        async with asyncio.timeout(HANG_S), connection as socket:
            fault = await _Conversation(socket, one).run()
    except TimeoutError:
        return f"the session did not end within {HANG_S:g} s"
    except websockets.InvalidStatus as refused:
        return _fault_of_refusal(refused.response.status_code, bytes(refused.response.body), verdict)
    except (OSError, websockets.WebSocketException) as error:
        return f"no session: {type(error).__name__} {error}"
    code = socket.close_code or 0
    verdict.statuses[code] += 1
    may_be_cut = one.ending == "abort" or any(frame.kind == "raw" for frame in one.frames)
    if code not in PROPER_CODES and not (code == CUT and may_be_cut):
        return f"close code {code}: {socket.close_reason}"
    return fault


def _fault_of_refusal(status: int, body: bytes, verdict: Verdict) -> str | None:
    verdict.statuses[status] += 1
    if status >= 500 and status not in DOCUMENTED_5XX:
        return f"status {status}: {body[:200]!r}"
    return None if _is_object(body) else f"status {status} without a JSON object: {body[:200]!r}"


class _Conversation:
    """One session's two directions."""

    def __init__(self, socket: websockets.ClientConnection, one: Session) -> None:
        self._socket = socket
        self._one = one
        self._answered = asyncio.Event()
        self._fault: str | None = None

    async def run(self) -> str | None:
        """What is wrong with the server's messages, or missing."""
        listening = asyncio.create_task(self._listen())
        try:
            await self._send()
            await self._end(listening)
        except websockets.ConnectionClosed:
            pass  # the close code says whether it may
        await listening
        is_unanswered = self._one.ending == "answer" and not self._answered.is_set()
        if self._fault is None and is_unanswered and self._socket.close_code == NORMAL:
            return "the session ended without an answer to its last frame"
        return self._fault

    async def _send(self) -> None:
        socket = self._socket
        for frame in self._one.frames:
            match frame.kind:
                case "text":
                    await socket.send(frame.data, text=True)
                case "binary":
                    await socket.send(frame.data)
                case "fragments":
                    pieces = range(0, len(frame.data), FRAGMENT_BYTES)
                    await socket.send([frame.data[at : at + FRAGMENT_BYTES] for at in pieces], text=True)
                case "ping":
                    await socket.ping()
                case "raw":
                    socket.transport.write(frame.data)

    async def _end(self, listening: asyncio.Task[None]) -> None:
        if self._one.ending == "abort":
            self._socket.transport.abort()
            return
        if self._one.ending == "answer":
            answered = asyncio.create_task(self._answered.wait())
            await asyncio.wait([answered, listening], return_when=asyncio.FIRST_COMPLETED)
            answered.cancel()
        await self._socket.close()

    async def _listen(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self._socket:
                if not _is_object(text):
                    self._fault = f"a message that is no JSON object: {text[:200]!r}"
                elif self._one.answer and self._one.answer in str(text):
                    self._answered.set()


def _is_object(text: str | bytes) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_refuse_constant), dict)
    except ValueError:
        return False


def _refuse_constant(name: str) -> None:
    """`NaN` and `Infinity` are no JSON (RFC 8259, 6)."""
    raise ValueError(name)
