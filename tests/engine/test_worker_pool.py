"""A pool of workers, in virtual time: where work goes, and what happens to it when a worker dies, drains or joins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.pool_in_loop import PoolInLoop, ServedInLoop
from engine.virtual import SleepingBackend, now, recognize, run
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.lifecycle import LifecycleState
from steno.engine.queue import Priority
from steno.engine.worker.worker_client import MAX_DEATHS
from steno.engine.worker.worker_pool import BROKEN_AFTER_S, MEMBERS_S
from steno.engine.worker.worker_server import REPORT_S
from steno.errors import BackendCrashedError, ModelLoadError

SETTLE_S = MEMBERS_S + 2 * REPORT_S


class NotingBackend(SleepingBackend):
    """Keeps the keys and the length in seconds of what it gets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[tuple[str | None, float]] = []
        self.forgotten: list[str] = []

    async def recognize(self, work: Any) -> Any:
        self.seen.append((work.utterance and work.utterance.partition("/")[2], len(work.audio) / 16_000))
        return await super().recognize(work)

    def forget(self, utterance: str) -> None:
        self.forgotten.append(utterance.partition("/")[2])


@asynccontextmanager
async def pool_of(count: int, **options: Any) -> AsyncIterator[tuple[Engine, PoolInLoop]]:
    workers = {f"w{n}": ServedInLoop(NotingBackend(load_s=0, **options)) for n in range(count)}
    pool = PoolInLoop(workers)
    async with Engine(pool, AdmissionLimits()) as engine:
        await asyncio.sleep(SETTLE_S)
        yield engine, pool


def seen(pool: PoolInLoop) -> dict[str, list[tuple[str | None, float]]]:
    return {name: worker.backend.seen for name, worker in pool.workers.items()}


async def upload(engine: Engine, seconds: float = 1.0) -> str:
    async with engine.admit() as ticket:
        return (await ticket.recognize(recognize(seconds))).text


def test_uploads_are_spread_over_the_workers() -> None:
    async def main() -> None:
        async with pool_of(2, workers=2) as (engine, pool):
            began = now()
            await asyncio.gather(*(upload(engine) for _ in range(4)))
            assert {name: len(work) for name, work in seen(pool).items()} == {"w0": 2, "w1": 2}
            assert now() - began < 1.5
            assert engine.status().capacity == 4

    run(main())


def test_the_utterances_of_a_stream_stay_on_one_worker_and_streams_are_spread() -> None:
    async def session(engine: Engine, name: str) -> None:
        async with engine.admit(Priority.LIVE_FINAL) as ticket:
            for n in range(3):
                key = f"{name}/{n}"
                for seconds in (0.5, 1.0):
                    await ticket.recognize(recognize(seconds, utterance=key, stream=name, final=False))
                await ticket.recognize(recognize(1.5, utterance=key, stream=name, final=True))
                engine.forget(key)
            engine.forget(name)

    async def main() -> None:
        async with pool_of(2, workers=4, live_workers=4) as (engine, pool):
            await asyncio.gather(*(session(engine, f"s{n}") for n in range(4)))
            streams = {name: {key.partition("/")[0] for key, _ in work if key} for name, work in seen(pool).items()}
            assert sorted(map(len, streams.values())) == [2, 2]
            assert not streams["w0"] & streams["w1"]
            await asyncio.sleep(SETTLE_S)
            for name, worker in pool.workers.items():
                assert set(worker.backend.forgotten) == {*streams[name], *{key for key, _ in worker.backend.seen}}

    run(main())


def test_a_dead_worker_s_work_goes_to_another_with_all_its_audio() -> None:
    async def main() -> None:
        async with pool_of(2, workers=2, live_workers=2) as (engine, pool), engine.admit(Priority.LIVE_FINAL) as ticket:
            await ticket.recognize(recognize(1, utterance="u", stream="s", final=False))
            first = next(name for name, work in seen(pool).items() if work)
            (other,) = {"w0", "w1"} - {first}
            running = asyncio.create_task(ticket.recognize(recognize(3, utterance="u", stream="s", final=True)))
            await asyncio.sleep(1)
            pool.workers[first].die()
            assert (await running).text == "48000 samples"
            assert seen(pool)[other] == [("u", 3.0)]
            assert await upload(engine) == "16000 samples"
            assert engine.status().worker_restarts == 1
            assert engine.status().broken is None

    run(main())


def test_what_was_running_in_every_worker_that_died_gets_an_error() -> None:
    async def main() -> None:
        async with pool_of(MAX_DEATHS + 1) as (engine, pool):
            poison = asyncio.create_task(upload(engine, 30))
            for _ in range(MAX_DEATHS):
                await asyncio.sleep(2)
                busy = [
                    worker for worker in pool.workers.values() if worker.local.status().running and not worker.is_dead
                ]
                assert len(busy) == 1
                busy[0].die()
            with pytest.raises(BackendCrashedError, match=f"died {MAX_DEATHS} times"):
                await poison
            assert await upload(engine) == "16000 samples"

    run(main())


def test_a_worker_that_drains_keeps_its_utterance_and_gets_no_new_one() -> None:
    async def main() -> None:
        async with pool_of(2, workers=2, live_workers=2) as (engine, pool), engine.admit(Priority.LIVE_FINAL) as ticket:
            await ticket.recognize(recognize(1, utterance="u1", stream="s", final=False))
            first = next(name for name, work in seen(pool).items() if work)
            (other,) = {"w0", "w1"} - {first}
            pool.listed = {other}
            await asyncio.sleep(SETTLE_S)
            assert pool.workers[first].server.fronts == 1
            await ticket.recognize(recognize(2, utterance="u1", stream="s", final=True))
            await ticket.recognize(recognize(1, utterance="u2", stream="s", final=True))
            assert seen(pool) == {first: [("u1", 1.0), ("u1", 2.0)], other: [("u2", 1.0)]}
            engine.forget("u1")
            await asyncio.wait_for(pool.workers[first].server.unused(), 5)
            assert pool.workers[other].server.fronts == 1

    run(main())


@pytest.mark.parametrize("problem", ["incomplete", "failed"])
def test_a_worker_that_a_failed_look_up_does_not_list_is_not_drained(problem: str) -> None:
    async def main() -> None:
        async with pool_of(2) as (_, pool):
            pool.is_complete = problem != "incomplete"
            pool.listed = {"w0"} if problem == "incomplete" else None
            await asyncio.sleep(5 * MEMBERS_S)
            assert [worker.server.fronts for worker in pool.workers.values()] == [1, 1]

    run(main())


def test_the_only_worker_serves_open_sessions_while_it_drains() -> None:
    async def main() -> None:
        async with pool_of(1) as (engine, pool):
            async with engine.admit(Priority.LIVE_FINAL) as ticket:
                pool.listed = set()
                await asyncio.sleep(SETTLE_S)
                assert (await ticket.recognize(recognize(1, utterance="u", stream="s", final=True))).text
                engine.forget("u")
                assert pool.workers["w0"].server.fronts == 1
            await asyncio.wait_for(pool.workers["w0"].server.unused(), 5)

    run(main())


def test_a_worker_that_joins_loads_its_model_while_sessions_are_open_and_gets_new_streams() -> None:
    async def main() -> None:
        async with pool_of(2, workers=2, live_workers=2) as (engine, pool), engine.admit(Priority.LIVE_FINAL) as ticket:
            pool.listed = {"w0"}
            await asyncio.sleep(SETTLE_S)
            assert pool.workers["w1"].server.fronts == 0
            await ticket.recognize(recognize(1, utterance="a", stream="a", final=False))
            pool.listed = {"w0", "w1"}
            await asyncio.sleep(SETTLE_S)
            assert pool.workers["w1"].local.status().recogniser.state is LifecycleState.READY
            await ticket.recognize(recognize(1, utterance="b", stream="b", final=False))
            assert seen(pool) == {"w0": [("a", 1.0)], "w1": [("b", 1.0)]}

    run(main())


def test_live_sessions_are_counted_once_over_all_workers() -> None:
    async def main() -> None:
        async with pool_of(2, workers=2, live_workers=2) as (engine, pool):
            async with engine.admit(Priority.LIVE_FINAL) as first, engine.admit(Priority.LIVE_FINAL):
                await asyncio.sleep(SETTLE_S)
                assert [worker.local.status().live_sessions for worker in pool.workers.values()] == [1, 1]
                await first.recognize(recognize(1, utterance="a", stream="a", final=False))
                await asyncio.sleep(SETTLE_S)
                assert engine.status().live_sessions == 2
            await asyncio.sleep(SETTLE_S)
            assert engine.status().live_sessions == 0

    run(main())


def test_work_waits_for_the_first_worker_and_is_refused_when_none_comes() -> None:
    async def main() -> None:
        async with pool_of(1) as (engine, pool):
            await upload(engine)
            pool.workers["w0"].die()
            await asyncio.sleep(1)
            assert (engine.status().restarting, engine.status().is_working) == (None, True), "nothing needs it"
            waiting = asyncio.create_task(upload(engine))
            await asyncio.sleep(2)
            assert engine.status().restarting is not None
            pool.workers["w0"].is_dead = False
            assert await waiting == "16000 samples"
            pool.workers["w0"].die()
            await asyncio.sleep(BROKEN_AFTER_S + 1)
            assert engine.status().broken is not None
            with pytest.raises(ModelLoadError, match="no worker has been reachable"):
                await upload(engine)

    run(main())


def test_a_model_that_loads_in_one_worker_alone_is_enough() -> None:
    async def main() -> None:
        async with pool_of(2) as (engine, pool):
            pool.workers["w0"].backend.load_errors = [OSError("no")] * 5
            assert await upload(engine) == "16000 samples"
            assert engine.status().recogniser.state is LifecycleState.READY

    run(main())


def test_a_model_that_loads_nowhere_is_an_error() -> None:
    async def main() -> None:
        async with pool_of(2) as (engine, pool):
            for worker in pool.workers.values():
                worker.backend.load_errors = [OSError("no")] * 5
            with pytest.raises(ModelLoadError, match="could not be loaded"):
                await upload(engine)

    run(main())
