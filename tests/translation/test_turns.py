"""Who is next, and that no turn is lost, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.virtual import now, run
from steno.translation.turns import PriorityLimiter


async def work(turns: PriorityLimiter, seconds: float, *, is_live: bool = False) -> float:
    async with turns.turn(is_live=is_live):
        await asyncio.sleep(seconds)
    return now()


def test_other_work_leaves_the_kept_turns_to_live_work() -> None:
    async def main() -> None:
        turns = PriorityLimiter(size=3, reserved=1)
        others = [asyncio.create_task(work(turns, 60.0)) for _ in range(10)]
        await asyncio.sleep(1.0)
        assert await work(turns, 2.0, is_live=True) == 3.0
        assert await asyncio.gather(*others) == [60.0 * (n // 2 + 1) for n in range(10)]

    run(main())


def test_live_work_that_waits_is_next() -> None:
    async def main() -> None:
        turns = PriorityLimiter(size=1, reserved=0)
        others = [asyncio.create_task(work(turns, 10.0)) for _ in range(3)]
        await asyncio.sleep(1.0)
        assert await work(turns, 1.0, is_live=True) == 11.0
        assert await asyncio.gather(*others) == [10.0, 21.0, 31.0]

    run(main())


def test_live_work_may_hold_every_turn() -> None:
    async def main() -> None:
        turns = PriorityLimiter(size=3, reserved=1)
        assert await asyncio.gather(*(work(turns, 1.0, is_live=True) for _ in range(6))) == [1, 1, 1, 2, 2, 2]

    run(main())


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_cancelled_no_turn_is_lost(seed: int) -> None:
    async def main() -> None:
        dice = random.Random(seed)
        turns = PriorityLimiter(size=2, reserved=1)
        tasks: list[asyncio.Task[float]] = []
        for _ in range(200):
            is_live = dice.random() < 0.5
            tasks.append(asyncio.create_task(work(turns, dice.choice([0.0, 0.1, 1.0]), is_live=is_live)))
            await asyncio.sleep(dice.choice([0.0, 0.0, 0.1]))
            if dice.random() < 0.4:
                dice.choice(tasks).cancel()
        await asyncio.wait(tasks)
        began = now()
        assert await asyncio.gather(work(turns, 1.0), work(turns, 1.0, is_live=True)) == [began + 1.0] * 2

    run(main())
