"""Live sessions are let in by what they cost on this machine; uploads leave them workers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import SleepingBackend, now, recognize, run, step_engine
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.live_load import MIN_OPEN_S, UNMEASURED_SESSIONS, LiveLoad
from steno.engine.queue import Priority
from steno.errors import OverloadedError

pytestmark = pytest.mark.usefixtures("engine_kind")

STEP_S = 2.0


async def talk(engine: Engine, step_audio_s: float, seconds: float) -> None:
    """A session that has `step_audio_s` of work in every two seconds; a step that is late makes the next one late."""
    async with engine.admit(Priority.LIVE_PARTIAL) as ticket:
        ends = now() + seconds
        while now() < ends:
            began = now()
            if step_audio_s:
                await ticket.recognize(recognize(step_audio_s))
            await asyncio.sleep(max(began + STEP_S - now(), 0.0))


async def let_in(engine: Engine, sessions: int, step_audio_s: float, every_s: float = 8.0) -> int:
    """How many of `sessions` that come one after the other get in."""
    outcomes = []
    for _ in range(sessions):
        outcomes.append(asyncio.create_task(talk(engine, step_audio_s, 1000.0)))
        await asyncio.sleep(every_s)
    refused = [task.exception() for task in outcomes if task.done()]
    assert all(isinstance(error, OverloadedError) for error in refused)
    for task in outcomes:
        task.cancel()
    await asyncio.gather(*outcomes, return_exceptions=True)
    return sessions - len(refused)


def engine_with(workers: int, live_workers: int = 1) -> Engine:
    return new_engine(SleepingBackend(workers=workers, live_workers=live_workers, load_s=0), AdmissionLimits())


def test_eight_talkers_are_not_let_in_where_three_fit() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine:
            # A session keeps 0.5 of a worker busy; three quarters of two workers are 1.5.
            assert await let_in(engine, 8, step_audio_s=1.0) == 3

    run(main())


def test_where_the_operator_wants_it_only_the_number_counts() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_live_wait_s=1000.0, live_by_load=False)) as engine:
            assert await let_in(engine, 8, step_audio_s=1.0) == 8

    run(main())


def test_sessions_that_are_silent_cost_nothing() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine:
            assert await let_in(engine, 50, step_audio_s=0.0) == 50

    run(main())


def test_the_refusal_says_how_many_fit() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine, asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(talk(engine, 1.0, 30.0))
            await asyncio.sleep(20.0)
            assert engine.live_capacity == 3
            with pytest.raises(OverloadedError, match="3 live sessions are open, and 3 fit on this machine"):
                await talk(engine, 1.0, 1.0)

    run(main())


def test_on_a_fresh_server_the_first_sessions_are_let_in_and_a_crowd_is_not() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine, AsyncExitStack() as inside:
            for _ in range(UNMEASURED_SESSIONS * 2):
                await inside.enter_async_context(engine.admit(Priority.LIVE_PARTIAL))
            with pytest.raises(OverloadedError, match="4 live sessions are open, and 4 fit"):
                await inside.enter_async_context(engine.admit(Priority.LIVE_PARTIAL))
            await asyncio.sleep(MIN_OPEN_S)
            await inside.enter_async_context(engine.admit(Priority.LIVE_PARTIAL))

    run(main())


def test_one_slow_measurement_does_not_lock_the_server() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine:
            await talk(engine, 30.0, 30.0)  # so slow that not one session fits
            assert engine.live_capacity == 1
            first = asyncio.create_task(talk(engine, 0.1, 300.0))
            await asyncio.sleep(1.0)
            with pytest.raises(OverloadedError):
                await talk(engine, 0.1, 1.0)
            await asyncio.sleep(240.0)
            assert engine.live_capacity is not None
            assert engine.live_capacity > 10
            await first

    run(main())


def test_what_was_measured_long_ago_is_forgotten() -> None:
    async def main() -> None:
        async with engine_with(workers=2) as engine:
            await talk(engine, 30.0, 30.0)
            await asyncio.sleep(300.0)
            assert engine.live_capacity == UNMEASURED_SESSIONS * 2

    run(main())


def test_a_backend_that_batches_lets_a_crowd_in_at_once_and_goes_by_its_slots_later() -> None:
    async def main() -> None:
        async with step_engine(slots=64, step_s=0.01) as engine, AsyncExitStack() as inside:
            for _ in range(200):
                await inside.enter_async_context(engine.admit(Priority.LIVE_PARTIAL))
            assert await let_in(engine, 20, step_audio_s=1.0, every_s=1.0) == 20

    run(main())


def test_uploads_leave_a_worker_to_live_sessions_and_get_it_back() -> None:
    async def upload(engine: Engine) -> None:
        async with engine.admit() as ticket:
            await ticket.recognize(recognize(10.0))

    async def main() -> None:
        backend = SleepingBackend(workers=4, live_workers=1, load_s=0)
        async with new_engine(backend, AdmissionLimits()) as engine, asyncio.TaskGroup() as uploads:
            session = asyncio.create_task(talk(engine, 1.9, 25.0))
            await asyncio.sleep(15.0)
            for _ in range(12):
                uploads.create_task(upload(engine))
            await asyncio.sleep(1.5)
            assert engine.status().running == 3 + 1
            await session
            await asyncio.sleep(0.1)
            assert engine.status().running == 4

    run(main())


def test_uploads_always_have_one_worker() -> None:
    async def main() -> None:
        async with engine_with(workers=1) as engine, asyncio.TaskGroup() as group:
            group.create_task(talk(engine, 1.0, 30.0))
            await asyncio.sleep(12.0)
            async with engine.admit() as ticket:
                await ticket.recognize(recognize(1.0), timeout_s=2.0)

    run(main())


def test_the_load_of_a_session_is_its_busy_time_by_its_open_time() -> None:
    load = LiveLoad()
    load.opened(100.0)
    assert load.session_load(105.0) is None
    for second in range(101, 121):
        load.record_work(float(second), 0.28)
    assert load.session_load(120.0) == pytest.approx(0.28, rel=0.02)
    assert load.capacity(120.0, 4, shares_steps=False) == 10
    load.closed(120.0)
    assert load.workers_reserved(120.0) == 0
