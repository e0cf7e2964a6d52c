from __future__ import annotations

import asyncio

import pytest

from steno.pipelines.live.notices import Notice
from steno.pipelines.live.outbox import Outbox
from steno.streaming.events import AssumedSilence, AudioProgress, Final, Partial


def partial(segment_id: int, text: str) -> Partial:
    return Partial(segment_id, 0, 1, "", text)


async def drained(outbox: Outbox) -> list[object]:
    outbox.close()
    items: list[object] = []
    while (item := await outbox.get()) is not None:
        items.append(item)
    return items


async def test_of_a_segments_partials_only_the_newest_is_kept() -> None:
    outbox = Outbox()
    for event in (partial(0, "a"), Notice({}), partial(0, "a b"), partial(1, "c")):
        outbox.put(event)
    assert await drained(outbox) == [Notice({}), partial(0, "a b"), partial(1, "c")]


async def test_a_final_makes_its_partials_superfluous() -> None:
    outbox = Outbox()
    done = Final(0, 0, 1, "a b", "endpoint")
    for event in (partial(0, "a"), partial(1, "c"), done):
        outbox.put(event)
    assert await drained(outbox) == [partial(1, "c"), done]


async def test_only_the_newest_word_on_how_far_it_was_heard_is_kept() -> None:
    outbox = Outbox()
    for until_s in (1, 2, 3):
        outbox.put(AudioProgress(until_s))
    for seconds in (1, 2, 3):
        outbox.put(AssumedSilence(3, seconds))
    assert await drained(outbox) == [AudioProgress(3), AssumedSilence(3, 3)]


async def test_a_reader_without_use_for_progress_is_not_woken_by_it() -> None:
    outbox = Outbox()
    outbox.takes_progress = False
    reading = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.put(AudioProgress(1))
    await asyncio.sleep(0.01)
    assert not reading.done()
    outbox.put(AssumedSilence(1, 1))
    assert await asyncio.wait_for(reading, 5) == AssumedSilence(1, 1)


async def test_whoever_fills_it_waits_until_there_is_room() -> None:
    outbox = Outbox(capacity=2)
    for n in range(2):
        outbox.put(Notice({"n": n}))
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await outbox.get()
    await asyncio.wait_for(waiting, 5)


async def test_a_reader_that_waits_is_woken_by_the_end() -> None:
    outbox = Outbox()
    reading = asyncio.create_task(outbox.get())
    await asyncio.sleep(0)
    outbox.close()
    assert await asyncio.wait_for(reading, 5) is None


@pytest.mark.parametrize("count", [1, 300])
async def test_nothing_that_must_be_told_is_ever_dropped(count: int) -> None:
    outbox = Outbox()
    asides = [Notice({"n": n}) for n in range(count)]
    for aside in asides:
        outbox.put(aside)
        outbox.put(partial(0, "x"))
    assert [item for item in await drained(outbox) if isinstance(item, Notice)] == asides
