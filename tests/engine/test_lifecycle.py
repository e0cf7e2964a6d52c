import asyncio

import pytest

from engine.virtual import SleepingBackend, now, run
from steno.backends.base import Progress
from steno.engine.lifecycle import RETRY_AFTER_FAILURE_S, Lifecycle, LifecycleState
from steno.errors import BackendUnavailableError, ModelLoadError


def lifecycle_of(backend: SleepingBackend, idle_timeout_s: float = 60) -> Lifecycle:
    return Lifecycle("a model", backend.load, backend.unload, idle_timeout_s)


def test_one_load_serves_all_who_ask() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=5)
        lifecycle = lifecycle_of(backend)
        await asyncio.gather(*(lifecycle.ready() for _ in range(10)))
        assert (backend.loads, now(), lifecycle.state) == (1, 5, LifecycleState.READY)

    run(main())


def test_giving_up_the_wait_does_not_interrupt_the_load() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=5)
        lifecycle = lifecycle_of(backend)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await lifecycle.ready()
        assert lifecycle.progress == (0.5, "half")
        await lifecycle.ready()
        assert (backend.loads, now()) == (1, 5)

    run(main())


def test_the_model_is_unloaded_after_the_idle_time_and_loaded_again_on_demand() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=1)
        lifecycle = lifecycle_of(backend, idle_timeout_s=60)
        with lifecycle.lease():
            await lifecycle.ready()
        await asyncio.sleep(59)
        assert lifecycle.state is LifecycleState.READY
        await asyncio.sleep(2)
        assert (lifecycle.state, backend.unloads) == (LifecycleState.UNLOADED, 1)
        await lifecycle.ready()
        assert backend.loads == 2

    run(main())


def test_a_lease_keeps_the_model_however_long_it_lasts() -> None:
    async def main() -> None:
        backend = SleepingBackend()
        lifecycle = lifecycle_of(backend, idle_timeout_s=60)
        with lifecycle.lease():
            await lifecycle.ready()
            with lifecycle.lease():
                await asyncio.sleep(1000)
            await asyncio.sleep(1000)
            assert lifecycle.state is LifecycleState.READY
        await asyncio.sleep(61)
        assert lifecycle.state is LifecycleState.UNLOADED

    run(main())


def test_zero_idle_time_keeps_the_model_for_ever() -> None:
    async def main() -> None:
        lifecycle = lifecycle_of(SleepingBackend(), idle_timeout_s=0)
        with lifecycle.lease():
            await lifecycle.ready()
        await asyncio.sleep(100_000)
        assert lifecycle.state is LifecycleState.READY

    run(main())


def test_a_lease_taken_while_unloading_waits_and_loads_anew() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=1)

        async def slow_unload() -> None:
            await asyncio.sleep(3)
            backend.unloads += 1

        lifecycle = Lifecycle("a model", backend.load, slow_unload, 10)
        with lifecycle.lease():
            await lifecycle.ready()
        await asyncio.sleep(11)
        assert lifecycle.state is LifecycleState.UNLOADING
        with lifecycle.lease():
            await lifecycle.ready()
        assert (backend.loads, backend.unloads) == (2, 1)

    run(main())


def test_a_failed_load_reaches_all_who_wait_and_is_tried_again_later() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=1)
        backend.load_errors = [BackendUnavailableError("no weights here")]
        lifecycle = lifecycle_of(backend)
        outcomes = await asyncio.gather(*(lifecycle.ready() for _ in range(3)), return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["a model could not be loaded: no weights here"] * 3
        assert len({id(outcome) for outcome in outcomes}) == 3, "each has an error of its own"
        with pytest.raises(ModelLoadError):
            await lifecycle.ready()
        assert now() == 1
        await asyncio.sleep(RETRY_AFTER_FAILURE_S)
        await lifecycle.ready()
        assert backend.loads == 1

    run(main())


def test_an_unforeseen_error_of_a_load_keeps_its_details_to_the_log() -> None:
    async def main() -> None:
        backend = SleepingBackend()
        backend.load_errors = [RuntimeError("/secret/path")]
        with pytest.raises(ModelLoadError, match=r"^a model could not be loaded: RuntimeError$"):
            await lifecycle_of(backend).ready()

    run(main())


def test_closing_abandons_a_load_and_cleans_up_after_it() -> None:
    async def main() -> None:
        backend = SleepingBackend(load_s=50)
        lifecycle = lifecycle_of(backend)
        waiter = asyncio.create_task(lifecycle.ready())
        await asyncio.sleep(1)
        waiter.cancel()
        await lifecycle.close()
        assert (now(), lifecycle.state, backend.loads, backend.unloads) == (1, LifecycleState.UNLOADED, 0, 1)

    run(main())


def test_an_unload_that_fails_leaves_a_lifecycle_that_loads_again() -> None:
    async def main() -> None:
        backend = SleepingBackend()

        async def broken() -> None:
            raise OSError("no")

        async def load(progress: Progress) -> None:
            backend.loads += 1

        lifecycle = Lifecycle("a model", load, broken, 1)
        with lifecycle.lease():
            await lifecycle.ready()
        await asyncio.sleep(2)
        assert lifecycle.state is LifecycleState.UNLOADED
        await lifecycle.ready()
        assert backend.loads == 2

    run(main())
