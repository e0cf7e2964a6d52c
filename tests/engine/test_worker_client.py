"""A client whose worker dies, in virtual time: what was lost is sent again, and nothing else."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import numpy as np
import pytest

from engine.engine_kinds import WorkerInLoop, worker_in_loop
from engine.virtual import SleepingBackend, now, recognize, run
from steno.backends.base import Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.lifecycle import LifecycleState
from steno.engine.local import LocalClient
from steno.engine.queue import Priority
from steno.engine.worker.crash_loop import BROKEN_AFTER, BROKEN_S
from steno.engine.worker.worker_client import MAX_DEATHS
from steno.engine.worker.worker_wire import MAX_UNSENT_BYTES
from steno.errors import BackendCrashedError, InvalidRequestError, ModelLoadError
from steno.types import SAMPLE_RATE


def engine_on(client: WorkerInLoop, limits: AdmissionLimits | None = None) -> Engine:
    return Engine(client, limits or AdmissionLimits())


def test_a_request_that_the_worker_takes_with_it_is_done_by_the_next_one() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, load_s=1)
        client = worker_in_loop(backend)
        async with engine_on(client) as engine, engine.admit() as ticket:
            request = asyncio.create_task(ticket.recognize(recognize(10)))
            await asyncio.sleep(5)
            client.die()
            await asyncio.sleep(0.1)
            assert engine.status().restarting is not None
            assert not engine.status().is_working
            await request
            assert 15 <= now() < 16
            assert (engine.status().worker_restarts, engine.status().restarting) == (1, None)

    run(main())


def test_a_job_that_was_running_whenever_workers_died_is_given_up_and_its_neighbours_are_not() -> None:
    async def main() -> None:
        client = worker_in_loop(SleepingBackend(workers=1, live_workers=0, load_s=0))
        async with engine_on(client) as engine, engine.admit() as ticket, engine.admit() as other:
            poison = asyncio.create_task(ticket.recognize(recognize(10)))
            await asyncio.sleep(0.5)
            waiting = asyncio.create_task(other.recognize(recognize(1)))
            for _ in range(MAX_DEATHS):
                await asyncio.sleep(2)
                client.die()
            with pytest.raises(BackendCrashedError, match=f"died {MAX_DEATHS} times"):
                await poison
            await waiting
            assert engine.status().broken is None

    run(main())


def test_only_new_audio_travels_and_all_of_it_again_after_a_death() -> None:
    async def main() -> None:
        client = worker_in_loop(ScriptedBackend(slots=2, step_s=0.01, sleep=lambda _: None))
        audio = np.zeros(4 * SAMPLE_RATE, np.float32)

        def step(seconds: float, *, final: bool = False) -> Recognize:
            return Recognize(audio[: int(seconds * SAMPLE_RATE)], utterance="a/1", stream="a", final=final)

        async with engine_on(client) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            texts = [(await ticket.recognize(step(seconds))).text for seconds in (1, 2, 3)]
            assert [len(text.split()) for text in texts] == [2, 4, 6]
            assert client.sent_s == [1, 1, 1]
            client.die()
            await asyncio.sleep(1)
            await ticket.recognize(step(3.5))
            assert len((await ticket.recognize(step(4, final=True), Priority.LIVE_FINAL)).text.split()) == 8
            assert client.sent_s == [1, 1, 1, 3.5, 0.5]
            await ticket.recognize(step(1))
            assert client.sent_s[-1] == 1, "after its final an utterance's name is free"

    run(main())


def test_more_audio_than_a_connection_holds_is_sent_again_without_another_death() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=64, load_s=0)
        limits = AdmissionLimits(max_waiting=64)
        client = worker_in_loop(backend, limits)
        async with engine_on(client, limits) as engine, AsyncExitStack() as tickets:
            requests = []
            for _ in range(50):
                ticket = await tickets.enter_async_context(engine.admit())
                requests.append(asyncio.create_task(ticket.recognize(recognize(30))))
            await asyncio.sleep(5)
            sent_before = sum(client.sent_s)
            client.die()
            await asyncio.gather(*requests)
            assert 4 * SAMPLE_RATE * (sum(client.sent_s) - sent_before) > MAX_UNSENT_BYTES
            assert engine.status().worker_restarts == 1

    run(main())


def test_live_jobs_are_sent_before_uploads() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=64, live_workers=8, load_s=0)
        limits = AdmissionLimits(max_waiting=64)
        client = worker_in_loop(backend, limits)
        async with engine_on(client, limits) as engine, AsyncExitStack() as tickets:
            requests = []
            for _ in range(20):
                ticket = await tickets.enter_async_context(engine.admit())
                requests.append(asyncio.create_task(ticket.recognize(recognize(30))))
            live = await tickets.enter_async_context(engine.admit(Priority.LIVE_PARTIAL))
            requests.append(asyncio.create_task(live.recognize(recognize(7, utterance="a/1", final=False))))
            await asyncio.sleep(1)
            client.sent_s.clear()
            client.die()
            await asyncio.gather(*requests)
            assert client.sent_s[0] == 7

    run(main())


def test_an_open_session_gets_its_model_back_without_asking() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=1)
        client = worker_in_loop(backend)
        async with engine_on(client) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            await ticket.ready()
            client.die()
            await asyncio.sleep(2)
            assert engine.model_state is LifecycleState.READY

    run(main())


def test_workers_that_die_in_a_row_make_it_refuse_and_a_later_one_may_mend_it() -> None:
    async def main() -> None:
        client = worker_in_loop(SleepingBackend(load_s=1))
        client.dies_at_once = True
        async with engine_on(client) as engine, engine.admit() as ticket:
            with pytest.raises(ModelLoadError, match=f"died {BROKEN_AFTER} times in a row"):
                await ticket.ready()
            assert engine.status().broken is not None
            with pytest.raises(ModelLoadError, match="in a row"):
                await ticket.ready()
            client.dies_at_once = False
            await asyncio.sleep(BROKEN_S)
            assert engine.status().broken is None
            await ticket.recognize(recognize(1))

    run(main())


def test_text_that_cannot_travel_fails_alone() -> None:
    async def main() -> None:
        async with engine_on(worker_in_loop(SleepingBackend(load_s=0))) as engine, engine.admit() as ticket:
            with pytest.raises(InvalidRequestError, match="Unicode"):
                await ticket.recognize(recognize(1, context="\ud800"))
            await ticket.recognize(recognize(1, context="\U0001f600"))
            assert engine.status().worker_restarts == 0

    run(main())


def test_what_is_cancelled_is_aborted_in_the_worker() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=0, load_s=0)
        async with engine_on(worker_in_loop(backend)) as engine, engine.admit() as ticket:
            request = asyncio.create_task(ticket.recognize(recognize(100)))
            await asyncio.sleep(1)
            request.cancel()
            await asyncio.sleep(0.1)
            assert backend.aborted == 1

    run(main())


def test_a_front_that_vanishes_leaves_nothing_in_the_worker() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=0, load_s=0)
        client = worker_in_loop(backend, AdmissionLimits(idle_timeout_s=10))
        async with engine_on(client) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            request = asyncio.create_task(ticket.recognize(recognize(100, utterance="a/1", stream="a", final=False)))
            await asyncio.sleep(1)
            client.refuse()
            client.die()
            await asyncio.sleep(0.5)
            assert backend.aborted == 1
            assert client.local.status().running == 0
            await asyncio.sleep(11)
            assert client.local.status().recogniser.state is LifecycleState.UNLOADED, "its leases are given back"
            request.cancel()

    run(main())


def test_a_broken_device_is_told_before_any_job_is_settled() -> None:
    class Broken(ScriptedBackend):
        def step(self) -> list:  # type: ignore[type-arg]
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    async def main() -> None:
        told: list[str] = []
        local = LocalClient(
            Broken(slots=1, step_s=0), AdmissionLimits(), on_broken=lambda reason: told.append(f"{reason} {job.done()}")
        )
        async with Engine(local, AdmissionLimits()) as engine, engine.admit() as ticket:
            job = asyncio.create_task(ticket.recognize(recognize(1)))
            await asyncio.wait([job])
            assert job.exception() is not None
            assert told == ["the device failed: CUDA error: an illegal memory access was encountered False"]

    asyncio.run(main())


def test_in_one_process_a_broken_device_is_in_the_status() -> None:
    class Broken(ScriptedBackend):
        def step(self) -> list:  # type: ignore[type-arg]
            raise RuntimeError("CUDA error: unspecified launch failure")

    async def main() -> None:
        local = LocalClient(Broken(slots=1, step_s=0), AdmissionLimits())
        async with Engine(local, AdmissionLimits()) as engine, engine.admit() as ticket:
            with pytest.raises(Exception, match="recogniser failed"):
                await ticket.recognize(recognize(1))
            assert engine.status().broken == "the device failed: CUDA error: unspecified launch failure"

    asyncio.run(main())
