"""Refused clients that come back when they were told: nearly all get in, and what they leave unused is not lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest

from engine.engine_kinds import new_engine
from engine.virtual import SleepingBackend, now, recognize, run
from held_memory import held_bytes
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.engine.retries import LATE_S, MAX_RETRIES, MAX_RETRIES_PER_CLIENT, RetrySchedule, ServiceInterval
from steno.errors import OverloadedError

Address = Callable[[int], str]

BYTES_PER_RETRY = 400


def own_address(n: int) -> str:
    return f"10.0.{n // 250}.{n % 250}"


def one_address(n: int) -> str:
    return "192.0.2.1"


def schedule(max_reserved: int = 8, interval_s: float = 2.0) -> RetrySchedule:
    return RetrySchedule(max_reserved, interval_s, jitter=lambda: 0.0)


class Crowd:
    """Clients that ask for `audio_s` of work and come back once, when they were told."""

    def __init__(self, engine: Engine, audio_s: float, latency_s: float = 0.02) -> None:
        self._engine = engine
        self._audio_s = audio_s
        self._latency_s = latency_s
        self.outcomes: Counter[str] = Counter()
        self.served = 0

    async def ask(self, client: str, *, comes_back: bool = True) -> None:
        try:
            await self.ask_once(client)
        except OverloadedError as refusal:
            if not comes_back:
                return
            await asyncio.sleep(refusal.retry_after_s + self._latency_s)
            try:
                await self.ask_once(client)
            except OverloadedError:
                self.outcomes["refused again"] += 1
            else:
                self.outcomes["in"] += 1

    async def ask_once(self, client: str) -> None:
        async with self._engine.admit(client=client) as ticket:
            await ticket.recognize(recognize(self._audio_s))
        self.served += 1

    @property
    def share_in(self) -> float:
        return self.outcomes["in"] / self.outcomes.total()


@pytest.mark.parametrize("address", [own_address, one_address])
@pytest.mark.parametrize(("audio_s", "workers"), [(1.0, 2), (10.0, 2), (4.0, 8)])
def test_of_a_crowd_that_comes_at_once_nearly_all_get_in_when_they_were_told(
    address: Address, audio_s: float, workers: int
) -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=workers, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_waiting=8, request_timeout_s=10_000)) as engine:
            crowd = Crowd(engine, audio_s)
            await asyncio.gather(*(crowd.ask("early") for _ in range(workers + 8)))  # so that the rate is measured
            await asyncio.gather(*(crowd.ask(address(n)) for n in range(60)))
            assert crowd.outcomes.total() == 60 - 8 - workers
            assert crowd.share_in >= 0.8

    run(main())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_at_five_times_the_capacity_those_who_were_told_get_in_and_no_capacity_is_lost(seed: int) -> None:
    async def main() -> None:
        dice = random.Random(seed)
        backend = SleepingBackend(workers=2, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_waiting=32, request_timeout_s=10_000)) as engine:
            crowd = Crowd(engine, audio_s=1.0)
            asking = []
            while now() < 120:
                asking.append(asyncio.create_task(crowd.ask(own_address(len(asking)))))
                await asyncio.sleep(dice.expovariate(10.0))  # two requests a second can be served
            served = crowd.served
            await asyncio.gather(*asking)
            assert crowd.share_in >= 0.8
            assert served >= 0.9 * 2 * 120

    run(main())


def test_clients_that_never_come_back_waste_no_place_and_do_not_lengthen_the_wait_for_ever() -> None:
    async def main() -> None:
        dice = random.Random(0)
        backend = SleepingBackend(workers=2, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_waiting=8)) as engine:
            crowd = Crowd(engine, audio_s=1.0)
            asking = []
            while now() < 120:
                client = own_address(len(asking))
                asking.append(asyncio.create_task(crowd.ask(client, comes_back=False)))
                await asyncio.sleep(dice.expovariate(10.0))
            assert crowd.served >= 0.9 * 2 * 120
            asking += [asyncio.create_task(crowd.ask("10.9.9.9", comes_back=False)) for _ in range(10)]
            await asyncio.sleep(0)
            with pytest.raises(OverloadedError) as refusal:
                await crowd.ask_once("10.9.9.8")
            assert refusal.value.retry_after_s < 120
            await asyncio.gather(*asking)

    run(main())


def test_a_live_client_that_comes_when_it_was_told_finds_its_place() -> None:
    async def session(engine: Engine, client: str, seconds: float) -> None:
        async with engine.admit(Priority.LIVE_PARTIAL, client=client):
            await asyncio.sleep(seconds)

    async def main() -> None:
        async with new_engine(SleepingBackend(), AdmissionLimits(max_live=2)) as engine:
            sessions = [asyncio.create_task(session(engine, "a", 4.0 + 36.0 * n)) for n in range(2)]
            await asyncio.sleep(1)
            with pytest.raises(OverloadedError, match="2 live sessions are open") as refused:
                await session(engine, "b", 1)
            await asyncio.sleep(4)
            with pytest.raises(OverloadedError, match="reserved for clients whose retry time"):
                await session(engine, "c", 1)
            await asyncio.sleep(refused.value.retry_after_s - 4)
            await session(engine, "b", 1)
            await asyncio.gather(*sessions)

    run(main())


def test_live_sessions_and_uploads_have_rates_of_their_own() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=1, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_waiting=0, max_live=1)) as engine:
            for _ in range(20):
                async with engine.admit() as ticket:
                    await ticket.recognize(recognize(1.0))
            async with engine.admit(), engine.admit(Priority.LIVE_PARTIAL):
                with pytest.raises(OverloadedError) as upload:
                    async with engine.admit():
                        pass
                with pytest.raises(OverloadedError) as live:
                    async with engine.admit(Priority.LIVE_PARTIAL):
                        pass
            assert upload.value.retry_after_s <= 3 < 5 <= live.value.retry_after_s

    run(main())


def test_each_refusal_moves_the_next_moment_on() -> None:
    retries = schedule(interval_s=2.0)
    assert [retries.schedule("a", 0.0) for _ in range(5)] == [3, 5, 8, 10, 13]


def test_the_moment_is_the_client_s_alone_and_holds_for_some_seconds() -> None:
    retries = schedule()
    wait_s = retries.schedule("a", 100.0)
    assert not retries.is_due("a", 101.0)
    assert retries.is_due("a", 100.0 + wait_s)
    assert not retries.is_due("b", 100.0 + wait_s)
    assert retries.is_due("a", 100.0 + wait_s + LATE_S)
    assert not retries.is_due("a", 100.0 + wait_s + LATE_S + 0.1)


def test_a_promise_is_kept_once() -> None:
    retries = schedule()
    wait_s = retries.schedule("a", 0.0)
    retries.redeem("a", wait_s)
    assert not retries.is_due("a", wait_s)
    assert retries.reserved(wait_s) == 0


def test_places_are_kept_only_for_those_who_come_soon_and_never_more_than_allowed() -> None:
    retries = schedule(max_reserved=3, interval_s=10.0)
    for n in range(20):
        retries.schedule(str(n), 0.0)
    assert retries.reserved(0.0) == 1, "the next one comes after 13 s, the one after it after 25"
    assert schedule(max_reserved=0).reserved(0.0) == 0
    crowded = schedule(max_reserved=3, interval_s=0.1)
    for n in range(20):
        crowded.schedule(str(n), 0.0)
    assert crowded.reserved(0.0) == 3


def test_what_is_remembered_of_refused_clients_is_bounded() -> None:
    retries = schedule(interval_s=0.1)
    for _ in range(100_000):
        retries.schedule("one that asks on and on", 0.0)
    assert 0 < held_bytes(retries) < MAX_RETRIES_PER_CLIENT * BYTES_PER_RETRY
    for n in range(10_000):
        retries.schedule(str(n), 0.0)
    full = held_bytes(retries)
    assert full < MAX_RETRIES * BYTES_PER_RETRY
    assert not retries.is_due("0", 10_000.0)
    assert held_bytes(retries) < full / 4


def test_the_interval_follows_what_is_measured_and_what_is_overdue() -> None:
    interval = ServiceInterval(2.0)
    assert interval.mean_s(0.0) == 2.0
    for n in range(20):
        interval.entered(n * 8.0)
        interval.left(n * 8.0 + 8, admitted=1)
    assert interval.mean_s(160.0) == 8.0
    assert interval.mean_s(160.0 + 8 + 17 * 10) > 17
