import asyncio
import gc
import weakref
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress

import pytest

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import SleepingBackend, now, recognize, run, step_engine
from steno.backends.base import Finished, Progress, Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.lifecycle import LifecycleState
from steno.engine.queue import Priority
from steno.engine.telemetry import NullTelemetry
from steno.engine.worker.worker_server import REPORT_S
from steno.errors import (
    BackendError,
    DeadlineExceededError,
    DrainingError,
    ModelLoadError,
    OverloadedError,
    SupersededError,
)

pytestmark = pytest.mark.usefixtures("engine_kind")


class Refusals(NullTelemetry):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def refused(self, code: str) -> None:
        self.codes.append(code)


async def transcribe(engine: Engine, seconds: float, priority: Priority = Priority.INTERACTIVE) -> float:
    """Run one request; returns when it was done."""
    async with engine.admit(priority) as ticket:
        await ticket.recognize(recognize(seconds), timeout_s=10_000)
    return now()


# Both kinds of backend


def test_work_comes_back_as_what_was_said() -> None:
    async def main() -> None:
        async with step_engine() as engine, engine.admit() as ticket:
            heard = await ticket.recognize(recognize(2.0))
            assert (heard.text, heard.words[1].start_s) == ("w0 w1 w2 w3", 0.5)

    run(main())


def test_an_async_backend_never_runs_more_uploads_than_it_has_workers() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, live_workers=1)
        async with new_engine(backend, AdmissionLimits()) as engine:
            await asyncio.gather(*(transcribe(engine, 10) for _ in range(6)))
            assert (backend.most_at_once, now()) == (2, 31)

    run(main())


def test_a_live_job_does_not_wait_for_uploads_that_hold_all_workers() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(workers=2, live_workers=1), AdmissionLimits()) as engine:
            uploads = [asyncio.create_task(transcribe(engine, 30)) for _ in range(5)]
            await asyncio.sleep(2)
            assert await transcribe(engine, 1, Priority.LIVE_FINAL) == 3
            await asyncio.gather(*uploads)

    run(main())


def test_an_upload_gets_a_share_of_the_slots_that_are_free() -> None:
    async def main() -> None:
        async with step_engine(slots=64) as engine:
            shares = [engine.parallelism]
            uploads: list[asyncio.Task[float]] = []
            while len(uploads) < engine.parallelism:
                uploads.append(asyncio.create_task(transcribe(engine, 30)))
                await asyncio.sleep(REPORT_S)
            shares += [engine.parallelism]
            for _ in range(40):
                uploads.append(asyncio.create_task(transcribe(engine, 30)))
            await asyncio.sleep(REPORT_S)
            shares += [engine.parallelism]
            await asyncio.gather(*uploads)
            assert shares == [24, 16, 4], "half of 48, a third once it uses them, and four when they are taken"

    run(main())


def test_a_live_job_waits_for_one_step_of_its_neighbours_and_never_for_an_upload() -> None:
    async def main() -> None:
        async with step_engine(slots=4, step_s=0.1) as engine:
            uploads = [asyncio.create_task(transcribe(engine, 30)) for _ in range(10)]
            await asyncio.sleep(1.05)
            began = now()
            # One word: a prefill and a decode step, after at most what is left of the step under way.
            assert await transcribe(engine, 0.5, Priority.LIVE_PARTIAL) - began <= 0.3
            await asyncio.gather(*uploads)

    run(main())


def test_a_live_job_overtakes_waiting_uploads() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(workers=1, live_workers=0), AdmissionLimits()) as engine:
            uploads = [asyncio.create_task(transcribe(engine, 5)) for _ in range(3)]
            await asyncio.sleep(2)
            assert await transcribe(engine, 1, Priority.LIVE_FINAL) == 1 + 5 + 1
            assert await asyncio.gather(*uploads) == [6, 12, 17]

    run(main())


def test_a_flood_of_live_work_does_not_starve_an_upload() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(workers=1, live_workers=0, load_s=0), AdmissionLimits()) as engine:
            flood = asyncio.create_task(_flood(engine))
            upload = asyncio.create_task(transcribe(engine, 1, Priority.BULK))
            assert await upload < 60
            flood.cancel()
            await asyncio.wait([flood])

    run(main())


async def _flood(engine: Engine) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(transcribe(engine, 1, Priority.LIVE_PARTIAL))
            await asyncio.sleep(0.9)


# Time-outs, cancellation, failure


def test_a_request_that_times_out_ends_with_a_typed_error_and_the_next_one_is_served() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits(request_timeout_s=10)) as engine:
            async with engine.admit() as ticket:
                with pytest.raises(DeadlineExceededError):
                    await ticket.recognize(recognize(50))
            await asyncio.sleep(1)
            assert (backend.aborted, engine.status().running) == (1, 0)
            assert await transcribe(engine, 5) == 16

    run(main())


def test_a_job_times_out_in_the_queue_too() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits()) as engine:
            long = asyncio.create_task(transcribe(engine, 100))
            await asyncio.sleep(1)
            async with engine.admit(timeout_s=10) as ticket:
                with pytest.raises(DeadlineExceededError):
                    await ticket.recognize(recognize(1))
                assert now() == 11
                await asyncio.sleep(0.1)
                with pytest.raises(DeadlineExceededError, match="before it was read"):
                    async with ticket.in_time("it was read"):
                        await asyncio.sleep(1)
            assert sum(engine.status().queue_depth.values()) == 0
            await long

    run(main())


@pytest.mark.parametrize("kind", ["async", "step"])
def test_a_cancelled_request_gives_its_place_back_at_once_and_the_worker_lives(kind: str) -> None:
    async def main() -> None:
        if kind == "async":
            engine: Engine = new_engine(SleepingBackend(workers=1, live_workers=0, load_s=0), AdmissionLimits())
        else:
            engine = step_engine(slots=1, step_s=0.1)
        async with engine:
            request = asyncio.create_task(transcribe(engine, 100))
            await asyncio.sleep(5)
            request.cancel()
            await asyncio.wait([request])
            assert engine.active == 0
            await asyncio.sleep(0.2 + REPORT_S)
            assert (engine.active, engine.status().running, engine.status().is_working) == (0, 0, True)
            assert await transcribe(engine, 1) < 7

    run(main())


def test_a_job_that_fails_fails_alone() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, load_s=0)
        backend.call_errors = [ValueError("boom at /secret/path"), BackendError("not this audio")]
        async with new_engine(backend, AdmissionLimits()) as engine:
            outcomes = await asyncio.gather(*(transcribe(engine, 1) for _ in range(4)), return_exceptions=True)
            first_two = {str(outcome) for outcome in outcomes[:2]}  # they end at the same moment
            assert first_two == {
                "the recogniser failed on this audio; the server's log has the reason",
                "not this audio",
            }
            assert [str(outcome) for outcome in outcomes[2:]] == ["2.0", "2.0"]
            assert engine.status().is_working

    run(main())


class FailingSteps(ScriptedBackend):
    """Fails in the steps named."""

    def __init__(self, failing: set[int]) -> None:
        super().__init__(slots=2, sleep=lambda _: None)
        self._failing, self._count = failing, 0

    def step(self) -> Sequence[Finished]:
        self._count += 1
        if self._count in self._failing:
            self.unload()
            raise RuntimeError("CUDA error")
        return super().step()


def test_a_step_that_fails_fails_its_slots_and_no_later_work() -> None:
    async def main() -> None:
        async with step_engine(backend=FailingSteps({2})) as engine:
            outcomes = await asyncio.gather(*(transcribe(engine, 2) for _ in range(3)), return_exceptions=True)
            assert [isinstance(outcome, BackendError) for outcome in outcomes] == [True, False, False]

    run(main())


def test_the_audio_of_a_superseded_partial_is_freed_without_a_collection() -> None:
    async def partial(engine: Engine, audios: list[weakref.ref[object]]) -> None:
        async with engine.admit(Priority.LIVE_PARTIAL) as ticket:
            work = recognize(2, utterance="a", final=False)
            audios.append(weakref.ref(work.audio))
            with suppress(SupersededError):
                await ticket.recognize(work)

    async def main() -> None:
        audios: list[weakref.ref[object]] = []
        async with step_engine(slots=1, step_s=1.0) as engine:
            await asyncio.gather(*(partial(engine, audios) for _ in range(4)))
            await asyncio.sleep(5)
            assert [audio() for audio in audios] == [None] * 4

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_the_error_of_one_request_keeps_no_other_request_s_audio_alive() -> None:
    async def request(engine: Engine, audios: list[weakref.ref[object]]) -> None:
        async with engine.admit(Priority.LIVE_FINAL) as ticket:
            work = recognize(2)
            audios.append(weakref.ref(work.audio))
            await ticket.recognize(work)

    async def failed_steps() -> None:
        class FailingWithAType(FailingSteps):
            def step(self) -> Sequence[Finished]:
                try:
                    return super().step()
                except RuntimeError:
                    raise BackendError("this step failed") from None

        async with step_engine(backend=FailingWithAType({2})) as engine:
            await check(engine, "this step failed")

    async def failed_load() -> None:
        backend = SleepingBackend()
        backend.load_errors = [OSError("no")]
        async with new_engine(backend, AdmissionLimits()) as engine:
            await check(engine, "could not be loaded")

    async def check(engine: Engine, message: str) -> None:
        audios: list[weakref.ref[object]] = []
        outcomes = await asyncio.gather(*(request(engine, audios) for _ in range(2)), return_exceptions=True)
        assert all(message in str(outcome) for outcome in outcomes)
        one_error = outcomes.pop()
        outcomes.clear()
        await asyncio.sleep(1)
        gc.collect()
        assert [audio() is None for audio in audios] == [True, False], one_error

    run(failed_steps())
    run(failed_load())


class RefusingAdmission(ScriptedBackend):
    def admit(self, work: Recognize) -> None:
        if len(work.audio) > 16_000:
            raise BackendError("too long for me")
        super().admit(work)


def test_work_that_a_step_backend_refuses_fails_alone() -> None:
    async def main() -> None:
        backend = RefusingAdmission(slots=4, sleep=lambda _: None)
        async with step_engine(backend=backend) as engine:
            good = [asyncio.create_task(transcribe(engine, 1)) for _ in range(2)]
            with pytest.raises(BackendError, match="too long for me"):
                await transcribe(engine, 5)
            await asyncio.gather(*good)

    run(main())


# Admission


def test_requests_beyond_the_places_are_refused_each_with_a_moment_of_its_own() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=2, live_workers=0, load_s=0)
        async with new_engine(backend, AdmissionLimits(max_waiting=3)) as engine:
            outcomes = await asyncio.gather(*(transcribe(engine, 10) for _ in range(10)), return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, OverloadedError)]
            assert len(refused) == 5
            assert (engine.active, engine.status().is_working) == (0, True)
            waits_s = [refusal.retry_after_s for refusal in refused]
            assert waits_s == sorted(waits_s)
            assert waits_s[-1] > waits_s[0] >= 2

    run(main())


class Roomier(ScriptedBackend):
    """Finds out how many slots there is room for when it loads."""

    def load(self, progress: Progress) -> None:
        self._slot_count = 8


def test_a_backend_that_finds_room_for_more_when_it_loads_lets_more_in() -> None:
    async def main() -> None:
        async with new_engine(Roomier(slots=2), AdmissionLimits(max_waiting=0)) as engine, AsyncExitStack() as inside:
            await inside.enter_async_context(engine.admit())
            with pytest.raises(OverloadedError):
                await inside.enter_async_context(engine.admit())
            await engine.preload()
            await inside.enter_async_context(engine.admit())

    asyncio.run(main())


def test_live_sessions_have_places_of_their_own() -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=1)
        async with new_engine(backend, AdmissionLimits(max_waiting=0, max_live=1)) as engine, engine.admit():
            with pytest.raises(OverloadedError):
                async with engine.admit():
                    pass
            async with engine.admit(Priority.LIVE_PARTIAL):
                with pytest.raises(OverloadedError):
                    async with engine.admit(Priority.LIVE_PARTIAL):
                        pass

    run(main())


# Model and shutdown


def test_a_request_waits_for_the_model_but_not_past_its_time() -> None:
    async def main() -> None:
        telemetry = Refusals()
        limits = AdmissionLimits(request_timeout_s=10)
        async with new_engine(SleepingBackend(load_s=30), limits, telemetry) as engine:
            with pytest.raises(ModelLoadError, match=r"still loading \(50%, half\)"):
                await transcribe(engine, 1)
            assert telemetry.codes == ["model_load_failed"]
            await asyncio.sleep(25)
            await transcribe(engine, 1)

    run(main())


def test_an_open_session_keeps_the_model_loaded() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(), AdmissionLimits(idle_timeout_s=60)) as engine:
            async with engine.admit(Priority.LIVE_PARTIAL) as session:
                await session.recognize(recognize(1))
                await asyncio.sleep(3600)
                assert engine.model_state is LifecycleState.READY
            await asyncio.sleep(61)
            assert engine.model_state is LifecycleState.UNLOADED

    run(main())


def test_a_preloaded_model_stays_however_long_nothing_comes() -> None:
    async def main() -> None:
        backend = SleepingBackend()
        async with new_engine(backend, AdmissionLimits(idle_timeout_s=60)) as engine:
            await engine.preload()
            await transcribe(engine, 1)
            await asyncio.sleep(3600)
            assert (engine.model_state, backend.loads) == (LifecycleState.READY, 1)
        assert engine.model_state is LifecycleState.UNLOADED

    run(main())


def test_a_preload_that_failed_and_then_worked_keeps_the_model_too() -> None:
    async def main() -> None:
        backend = SleepingBackend()
        backend.load_errors = [OSError("no")]
        async with new_engine(backend, AdmissionLimits(idle_timeout_s=60)) as engine:
            with pytest.raises(ModelLoadError):
                await engine.preload()
            await asyncio.sleep(6)
            await engine.preload()
            await asyncio.sleep(3600)
            assert engine.model_state is LifecycleState.READY

    run(main())


def test_draining_refuses_newcomers_and_finishes_what_runs() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(load_s=0), AdmissionLimits()) as engine:
            running = asyncio.create_task(transcribe(engine, 10))
            await asyncio.sleep(1)
            engine.drain()
            with pytest.raises(DrainingError):
                await transcribe(engine, 1)
            assert await running == 10

    run(main())


@pytest.mark.parametrize("kind", ["async", "step"])
def test_stopping_the_engine_tells_everybody_who_waits(kind: str) -> None:
    async def main() -> None:
        backend = SleepingBackend(workers=1, live_workers=0, load_s=0)
        engine = new_engine(backend, AdmissionLimits()) if kind == "async" else step_engine(slots=1)
        async with engine:
            requests = [asyncio.create_task(transcribe(engine, 100)) for _ in range(3)]
            await asyncio.sleep(5)
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DrainingError] * 3
        assert (engine.active, engine.model_state) == (0, LifecycleState.UNLOADED)

    run(main())


def test_cutting_off_ends_every_wait_and_lets_none_begin() -> None:
    async def main() -> None:
        async with new_engine(SleepingBackend(load_s=100), AdmissionLimits()) as engine:

            async def uploading() -> None:
                async with engine.admit() as ticket, ticket.in_time("it was received"):
                    await asyncio.sleep(1000)

            waits = [asyncio.create_task(uploading()), asyncio.create_task(transcribe(engine, 1))]
            await asyncio.sleep(5)
            engine.cut_off()
            outcomes = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [DrainingError, DrainingError]
            assert (now(), engine.active) == (5, 0)

    run(main())


class Clumsy(ScriptedBackend):
    """Raises what it should not, where it should not."""

    def admit(self, work: Recognize) -> None:
        if len(work.audio) > 16_000:
            raise IndexError("no such slot")
        super().admit(work)

    def release(self, work: Recognize) -> None:
        super().release(work)
        raise KeyError("released already")


def test_a_step_backend_that_raises_anything_anywhere_keeps_its_slots_straight() -> None:
    async def main() -> None:
        backend = Clumsy(slots=2, sleep=lambda _: None)
        async with step_engine(backend=backend) as engine:
            for _ in range(5):
                with pytest.raises(BackendError):
                    await transcribe(engine, 5)
                cancelled = asyncio.create_task(transcribe(engine, 1))
                await asyncio.sleep(0.15)
                cancelled.cancel()
                await asyncio.wait([cancelled])
            await asyncio.sleep(0.2)
            assert backend.occupied == []
            assert await transcribe(engine, 1) > 0

    run(main())
