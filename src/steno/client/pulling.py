"""Audio from wherever it comes: bytes, an iterable whose `next` may take its time, or an asynchronous iterable."""

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
"""All of the audio, or its parts as they come, of any size."""

_END = object()


async def chunks_of(audio: AudioSource) -> AsyncGenerator[memoryview, None]:
    """The parts, as bytes. A plain iterable is iterated in a thread of its own."""
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
    """The items, each fetched when it is wanted, in a thread that ends with this: at once, or when the `next` that is
    under way returns. Nobody waits for that: standard input may never say another word."""
    loop = asyncio.get_running_loop()
    wanted: queue.SimpleQueue[asyncio.Future[Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_fetch, args=(items, wanted, loop), name="audio source", daemon=True).start()
    try:
        while True:
            future: asyncio.Future[Any] = loop.create_future()
            wanted.put(future)
            item = await future
            if item is _END:
                return
            yield item
    finally:
        wanted.put(None)


def _fetch(
    items: Iterable[Any], wanted: queue.SimpleQueue[asyncio.Future[Any] | None], loop: asyncio.AbstractEventLoop
) -> None:
    iterator = None
    while (future := wanted.get()) is not None:
        item: object = _END
        problem: Exception | None = None
        try:
            iterator = iter(items) if iterator is None else iterator
            item = next(iterator, _END)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(_settle, future, item, problem)


def _settle(future: asyncio.Future[Any], item: object, problem: Exception | None) -> None:
    if future.done():
        return
    if problem is not None:
        future.set_exception(problem)
    else:
        future.set_result(item)
