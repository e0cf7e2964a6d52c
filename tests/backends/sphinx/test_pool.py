from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from steno.backends.sphinx.pool import ChildPool, PartialUtterance
from steno.errors import BackendCrashedError, BackendUnavailableError

SECOND = bytes(range(256)) * 125


@pytest.fixture
async def pool() -> AsyncIterator[ChildPool]:
    pool = ChildPool(2, "recognise", recycle_after=1000, recycle_rss_mb=1000.0)
    yield pool
    await pool.close()


async def pid_after_a_call(pool: ChildPool, key: str | None = None) -> int:
    async with pool.lease(key) as place:
        if key and place.growing is None:
            place.growing = PartialUtterance(key, 16_000, 16_000)
        await place.child.call({"op": "recognise"}, SECOND, timeout_s=30)
        return place.child.pid


async def test_children_start_when_they_are_needed_and_are_used_again(pool: ChildPool) -> None:
    assert pool.pids == []
    first = await pid_after_a_call(pool)
    assert await pid_after_a_call(pool) == first
    assert pool.pids == [first]
    both = await asyncio.gather(pid_after_a_call(pool), pid_after_a_call(pool))
    assert first in both
    assert sorted(pool.pids) == sorted(both)


async def test_there_are_never_more_than_the_bound_and_the_next_one_waits(pool: ChildPool) -> None:
    async with pool.lease() as first, pool.lease() as second:
        third = asyncio.ensure_future(pid_after_a_call(pool))
        await asyncio.sleep(0.05)
        assert not third.done()
        assert sorted(pool.pids) == sorted([first.child.pid, second.child.pid])
    assert await third in pool.pids
    assert len(pool.pids) == 2


async def test_a_waiting_call_that_is_cancelled_takes_no_place_with_it(pool: ChildPool) -> None:
    async with pool.lease(), pool.lease():
        waiting = asyncio.ensure_future(pid_after_a_call(pool))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with pool.lease(), pool.lease():
        assert len(pool.pids) == 2


async def test_an_utterance_finds_its_child_again_and_others_leave_it_alone(pool: ChildPool) -> None:
    mine = await pid_after_a_call(pool, "a")
    other = await pid_after_a_call(pool)
    assert other != mine
    assert await pid_after_a_call(pool, "a") == mine
    assert await pid_after_a_call(pool) == other


async def test_the_utterance_that_waited_longest_gives_way_where_all_places_are_taken(pool: ChildPool) -> None:
    old, new = await pid_after_a_call(pool, "old"), await pid_after_a_call(pool, "new")
    assert await pid_after_a_call(pool) == old
    async with pool.lease("new") as place:
        assert (place.child.pid, place.growing and place.growing.key) == (new, "new")
    async with pool.lease("old") as place:
        assert (place.child.pid, place.growing) == (old, None)


async def test_a_forgotten_utterance_frees_its_child(pool: ChildPool) -> None:
    mine = await pid_after_a_call(pool, "a")
    pool.forget("a")
    pool.forget("never heard of")
    async with pool.lease() as place:
        assert (place.child.pid, place.growing) == (mine, None)
    async with pool.lease("b") as place:
        place.growing = PartialUtterance("b", 1, 1)
        pool.forget("b")
    async with pool.lease("b") as place:
        assert place.growing is None


@pytest.mark.parametrize(("after", "rss_mb", "children"), [(2, 1000.0, 2), (1000, 1.0, 4)])
async def test_a_worn_child_is_replaced_by_a_fresh_one(after: int, rss_mb: float, children: int) -> None:
    pool = ChildPool(1, "recognise", recycle_after=after, recycle_rss_mb=rss_mb)
    pids = [await pid_after_a_call(pool) for _ in range(4)]
    assert len(set(pids)) == children
    await pool.close()
    assert not any(map(psutil.pid_exists, pids))


async def test_a_child_is_not_replaced_in_the_middle_of_an_utterance() -> None:
    pool = ChildPool(1, "recognise", recycle_after=1, recycle_rss_mb=1000.0)
    first = await pid_after_a_call(pool, "a")
    assert await pid_after_a_call(pool, "a") == first
    pool.forget("a")
    assert await pid_after_a_call(pool) == first
    assert await pid_after_a_call(pool) != first
    await pool.close()


async def test_a_child_that_died_while_idle_is_not_lent(pool: ChildPool) -> None:
    dead = await pid_after_a_call(pool)
    os.kill(dead, signal.SIGKILL)
    while psutil.pid_exists(dead) or dead in pool.pids:  # `pids` are those whose end asyncio has not heard of
        await asyncio.sleep(0.01)
    assert await pid_after_a_call(pool) != dead
    assert len(pool.pids) == 1


async def test_closing_ends_all_children_and_fails_the_calls_that_still_run(pool: ChildPool) -> None:
    async def long_call() -> None:
        async with pool.lease() as place:
            await place.child.call({"op": "recognise"}, SECOND * 60, timeout_s=60)

    await asyncio.gather(pid_after_a_call(pool), pid_after_a_call(pool))
    pids = pool.pids
    running, also, waiting = [asyncio.ensure_future(long_call()) for _ in range(3)]
    await asyncio.sleep(0.2)
    await pool.close()
    ended = await asyncio.gather(running, also, waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [BackendCrashedError, BackendCrashedError, BackendUnavailableError]
    assert pool.pids == []
    assert not any(map(psutil.pid_exists, pids))
