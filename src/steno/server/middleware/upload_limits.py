"""Bodies that are being received: how many of one client, how fast they must come, how long they may take."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import Message, Receive, Scope

from steno.errors import AudioTooLargeError, DeadlineExceededError, OverloadedError, UploadStalledError
from steno.server.middleware.auth import key_index_of

RETRY_AFTER_S = 5.0
Client: TypeAlias = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class UploadLimits:
    max_bytes: int
    max_s: float = 600.0
    """Seconds that a body may take in all; what is left of them is the request's time."""
    idle_s: float = 30.0
    """A body that sends nothing for so long is given up."""
    least_bytes_per_s: float = 4096.0
    """A slower body is given up."""
    grace_s: float = 10.0
    """Seconds of waiting for a body that are not counted."""
    max_per_client: int = 32
    """Bodies that one key, or without keys one address, may be sending at once; 0 = any number."""


class UploadCounter:
    """Counts the bodies under way, by client.

    Args:
        changed: is told how many there are in all.
    """

    def __init__(self, max_per_client: int, changed: Callable[[int], None]) -> None:
        self._max_per_client = max_per_client
        self._changed = changed
        self._bodies: Counter[Client] = Counter()

    @contextmanager
    def body_of(self, client: Client) -> Iterator[None]:
        """One body, from its request's head to its end.

        Raises:
            OverloadedError: the client sends as many as it may.
        """
        if self._max_per_client and self._bodies[client] >= self._max_per_client:
            text = f"{self._bodies[client]} uploads are being received from this client, as many as it may send at once"
            raise OverloadedError(text, retry_after_s=RETRY_AFTER_S)
        self._count(client, +1)
        try:
            yield
        finally:
            self._count(client, -1)

    def _count(self, client: Client, change: int) -> None:
        self._bodies[client] += change
        if not self._bodies[client]:
            del self._bodies[client]
        self._changed(self._bodies.total())


class UploadBody:
    """One request's body, message by message, within the limits."""

    def __init__(self, receive: Receive, limits: UploadLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0
        self._waited_s = 0.0
        self.is_complete = False
        """Whether its last message was received: `receive` then waits for the client to hang up."""

    @property
    def time_left_s(self) -> float:
        """Of the request's time."""
        return self._limits.max_s - (asyncio.get_running_loop().time() - self._began)

    async def next(self) -> Message:
        """The next message.

        Raises:
            UploadStalledError: nothing comes, or too slowly.
            AudioTooLargeError: it is larger than any may be.
            DeadlineExceededError: it takes longer than a request may.
        """
        message = await self._next_in_time()
        self.is_complete = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.max_bytes:
            raise too_large(self._limits)
        counted_s = self._waited_s - self._limits.grace_s
        if message.get("more_body", False) and self._bytes < counted_s * self._limits.least_bytes_per_s:
            text = f"the upload sends less than {self._limits.least_bytes_per_s / 1024:g} KiB a second"
            raise UploadStalledError(text)
        return message

    async def _next_in_time(self) -> Message:
        clock = asyncio.get_running_loop().time
        began, time_left_s = clock(), max(self.time_left_s, 0.0)
        try:
            async with asyncio.timeout(min(self._limits.idle_s, time_left_s)):
                return await self._receive()
        except TimeoutError:
            if time_left_s <= self._limits.idle_s:
                text = f"the request's time ({self._limits.max_s:g} s) was up before all of its audio had arrived"
                raise DeadlineExceededError(text) from None
            text = f"the upload sent nothing for {self._limits.idle_s:g} s; send it again"
            raise UploadStalledError(text) from None
        finally:
            self._waited_s += clock() - began


def client_of(scope: Scope) -> Client:
    """The API key that a request came with, or the address that it came from."""
    key = key_index_of(scope)
    if key is not None:
        return ("key", key)
    return ("address", scope["client"][0] if scope.get("client") else "")


def check_length(scope: Scope, limits: UploadLimits) -> None:
    """Raises AudioTooLargeError: the head announces more than is taken."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limits.max_bytes:
            raise too_large(limits)


def too_large(limits: UploadLimits) -> AudioTooLargeError:
    return AudioTooLargeError(f"the upload is larger than {limits.max_bytes / 2**20:g} MiB, the most that is taken")
