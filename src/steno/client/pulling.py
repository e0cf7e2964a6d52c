"""Reads an audio source: bytes, an iterable whose `next` may block, or an asynchronous iterable."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")

Chunk: TypeAlias = bytes | bytearray | memoryview
AudioSource: TypeAlias = Chunk | Iterable[Chunk] | AsyncIterable[Chunk]
"""The whole audio, or chunks of any size."""

_END = object()


async def chunks_of(audio: AudioSource) -> AsyncGenerator[memoryview, None]:
    """Yield the chunks as bytes. A synchronous iterable is iterated in a thread of its own."""
    if isinstance(audio, bytes | bytearray | memoryview):
        yield memoryview(audio).cast("B")
    elif isinstance(audio, AsyncIterable):
        async for chunk in audio:
            yield memoryview(chunk).cast("B")
    else:
        async with aclosing(in_thread(audio)) as chunks:
            async for chunk in chunks:
                yield memoryview(chunk).cast("B")


async def in_thread(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """Yield the items, each fetched on demand in a thread. The thread ends after the `next` in progress; nothing waits
    for it, because a read of standard input may block forever."""
    loop = asyncio.get_running_loop()
    requests: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_fetch, args=(items, requests, loop), name="audio source", daemon=True).start()
    try:
        while True:
            future: asyncio.Future[Any] = loop.create_future()
            requests.put(future)
            item = await future
            if item is _END:
                return
            yield item
    finally:
        requests.put(None)


def _fetch(
    items: Iterable[Any], requests: queue.SimpleQueue[asyncio.Future[Any] | None], loop: asyncio.AbstractEventLoop
) -> None:
    iterator = None
    while (future := requests.get()) is not None:
        item: object = _END
        problem: Exception | None = None
        try:
            iterator = iter(items) if iterator is None else iterator
            item = next(iterator, _END)
        except Exception as error:  # noqa: BLE001 - raised in the awaiting task
            problem = error
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(_settle, future, item, problem)


def _settle(future: asyncio.Future[Any], item: object, problem: Exception | None) -> None:
    if future.done():
        return
    if problem is not None:
        future.set_exception(problem)
    else:
        future.set_result(item)
