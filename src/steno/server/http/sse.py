"""Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

PING_S = 15.0
"""Interval of pings. Proxies close connections that are idle for about a minute."""


def event(data: Mapping[str, Any]) -> bytes:
    return encoded(json.dumps(data, ensure_ascii=False))


def encoded(data: str) -> bytes:
    """Encode an event. `data` is JSON on one line."""
    return b"data: " + data.encode() + b"\n\n"


async def with_pings(events: AsyncIterator[bytes], every_s: float = PING_S) -> AsyncIterator[bytes]:
    """The events, with a comment whenever there was no event for `every_s`."""
    upcoming: asyncio.Future[bytes] | None = None
    try:
        while True:
            upcoming = upcoming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([upcoming], timeout=every_s)
            if not done:
                yield b": ping\n\n"
                continue
            try:
                data = upcoming.result()
            except StopAsyncIteration:
                return
            upcoming = None
            yield data
    finally:
        if upcoming is not None:
            upcoming.cancel()
            await asyncio.wait([upcoming])
