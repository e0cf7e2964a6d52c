from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engine.virtual import run
from steno.server.http import sse


async def slowly(*pauses: float) -> AsyncIterator[bytes]:
    for n, pause in enumerate(pauses):
        await asyncio.sleep(pause)
        yield sse.event({"n": n})


def test_events_are_one_line_of_json_each() -> None:
    assert sse.event({"delta": "zwei\nZeilen, größer"}) == 'data: {"delta": "zwei\\nZeilen, größer"}\n\n'.encode()


def test_a_long_pause_is_filled_with_comments_and_no_event_is_lost() -> None:
    async def main() -> list[bytes]:
        return [data async for data in sse.with_pings(slowly(0, 35, 1), every_s=15)]

    ping = b": ping\n\n"
    assert run(main()) == [sse.event({"n": 0}), ping, ping, sse.event({"n": 1}), sse.event({"n": 2})]


def test_a_reader_that_leaves_ends_the_source() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            try:
                yield b"a"
                await asyncio.sleep(1000)
            finally:
                closed.set()

        events = sse.with_pings(source())
        assert await anext(events) == b"a"
        reading = asyncio.create_task(anext(events))
        await asyncio.sleep(1)
        reading.cancel()
        await asyncio.wait([reading])
        await asyncio.wait_for(closed.wait(), 1)

    run(main())
