"""Limits of request bodies: number per client, min rate, max time and size."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from starlette.types import Message, Receive, Scope

from steno.engine.counts import Counts, LocalCounts
from steno.errors import AudioTooLargeError, DeadlineExceededError, OverloadedError, UploadStalledError
from steno.server.middleware.auth import key_index_of

RETRY_AFTER_S = 5.0
Client: TypeAlias = tuple[str, str | int]


@dataclass(frozen=True, slots=True)
class UploadLimits:
    max_bytes: int
    max_s: float = 600.0
    """Max seconds for receiving a body; the rest of them is the time limit of the request's work."""
    idle_s: float = 30.0
    """A body is refused if nothing arrives for this long."""
    least_bytes_per_s: float = 4096.0
    """A slower body is refused."""
    grace_s: float = 10.0
    """Seconds of waiting for a body that do not count for its rate."""
    max_per_client: int = 32
    """Max concurrent bodies per key, or per address if no keys are configured; 0 = unlimited."""


class UploadCounter:
    """Counts the bodies being received, by client.

    Args:
        changed: called with the total of this process.
    """

    def __init__(self, max_per_client: int, changed: Callable[[int], None], counts: Counts | None = None) -> None:
        self._max_per_client = max_per_client
        self._changed = changed
        self._counts = counts or LocalCounts()
        self._bodies = 0

    @contextmanager
    def body_of(self, client: Client) -> Iterator[None]:
        """Count one body for as long as the context is open.

        Raises:
            OverloadedError: the client has reached `max_per_client`.
        """
        name = "bodies of {} {}".format(*client)
        with self._counts.exclusive():
            total = self._counts.total(name)
            if self._max_per_client and total >= self._max_per_client:
                text = f"{total} uploads of this client are in progress, which is the maximum"
                raise OverloadedError(text, retry_after_s=RETRY_AFTER_S)
            self._count(name, +1)
        try:
            yield
        finally:
            self._count(name, -1)

    def _count(self, name: str, change: int) -> None:
        self._counts.add(name, change)
        self._bodies += change
        self._changed(self._bodies)


class UploadBody:
    """Receives one request's body and enforces the limits."""

    def __init__(self, receive: Receive, limits: UploadLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._began = asyncio.get_running_loop().time()
        self._bytes = 0
        self._waited_s = 0.0
        self.is_complete = False
        """Whether the last message was received; `receive` then waits for a disconnect."""

    @property
    def time_left_s(self) -> float:
        """Remaining time of the request."""
        return self._limits.max_s - (asyncio.get_running_loop().time() - self._began)

    async def next(self) -> Message:
        """Receive the next message.

        Raises:
            UploadStalledError: the body stalls or is too slow.
            AudioTooLargeError: the body exceeds `max_bytes`.
            DeadlineExceededError: the body takes longer than `max_s`.
        """
        message = await self._next_in_time()
        self.is_complete = not message.get("more_body", False)
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limits.max_bytes:
            raise too_large(self._limits)
        counted_s = self._waited_s - self._limits.grace_s
        if message.get("more_body", False) and self._bytes < counted_s * self._limits.least_bytes_per_s:
            text = f"the upload is slower than {self._limits.least_bytes_per_s / 1024:g} KiB per second"
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
                text = f"the request's time limit ({self._limits.max_s:g} s) expired before its audio was complete"
                raise DeadlineExceededError(text) from None
            text = f"the upload stalled for {self._limits.idle_s:g} s; send it again"
            raise UploadStalledError(text) from None
        finally:
            self._waited_s += clock() - began


def client_of(scope: Scope) -> Client:
    """The request's API key, or its address if no keys are configured."""
    key = key_index_of(scope)
    if key is not None:
        return ("key", key)
    return ("address", scope["client"][0] if scope.get("client") else "")


def check_length(scope: Scope, limits: UploadLimits) -> None:
    """Raise AudioTooLargeError if Content-Length exceeds the limit."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limits.max_bytes:
            raise too_large(limits)


def too_large(limits: UploadLimits) -> AudioTooLargeError:
    return AudioTooLargeError(f"the upload is larger than the maximum of {limits.max_bytes / 2**20:g} MiB")
