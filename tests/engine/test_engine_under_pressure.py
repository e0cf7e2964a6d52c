"""Random lives: submit, cancel, time out, fail, overload, unload, in any order, on both kinds of backend."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.engine_kinds import engine_kind, new_engine  # noqa: F401
from engine.virtual import SleepingBackend, now, recognize, run, step_engine
from steno.backends.base import Finished, Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.queue import Priority
from steno.errors import BackendError, StenoError
from steno.types import Hypothesis

pytestmark = pytest.mark.usefixtures("engine_kind")

LIMITS = AdmissionLimits(max_waiting=3, max_live=3, request_timeout_s=20, idle_timeout_s=5)


class Moody(SleepingBackend):
    """Fails, crashes and cancels itself at random."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(workers=2, live_workers=1, load_s=dice.choice([0, 1, 30]))
        self._dice = dice

    async def recognize(self, work: Recognize) -> Hypothesis:
        mood = self._dice.random()
        if mood < 0.1:
            raise BackendError("typed")
        if mood < 0.2:
            raise RuntimeError("untyped")
        if mood < 0.25:
            raise asyncio.CancelledError
        return await super().recognize(work)


class MoodySteps(ScriptedBackend):
    """Fails at random in admission and in steps; checks that it is used as the protocol says."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__(slots=3, sleep=lambda _: None)
        self._dice = dice

    def admit(self, work: Recognize) -> None:
        if self._dice.random() < 0.1:
            raise BackendError("refused")
        super().admit(work)
        assert len(self.occupied) <= self.slots

    def step(self) -> Sequence[Finished]:
        if self._dice.random() < 0.02:
            self.unload()
            raise RuntimeError("step failed")
        return super().step()


async def one_request(engine: Engine, dice: random.Random, outcomes: list[str]) -> None:
    priority = dice.choice(list(Priority))
    try:
        async with engine.admit(priority, timeout_s=dice.choice([0.5, 5, 20])) as ticket:
            works = [
                recognize(dice.choice([0.0, 0.3, 2, 8]), utterance=dice.choice([None, "a", "b"])) for _ in range(3)
            ]
            await asyncio.gather(*(ticket.recognize(work, timeout_s=dice.choice([None, 1, 10])) for work in works))
    except StenoError as error:
        outcomes.append(error.code)
    else:
        outcomes.append("ok")


async def life(engine: Engine, dice: random.Random, requests: int) -> None:
    outcomes: list[str] = []
    async with engine:
        tasks = []
        for _ in range(requests):
            tasks.append(asyncio.create_task(one_request(engine, dice, outcomes)))
            await asyncio.sleep(dice.choice([0, 0, 0.2, 1, 7]))
            if dice.random() < 0.3:
                dice.choice(tasks).cancel()
        done, late = await asyncio.wait(tasks, timeout=100)
        assert not late, "a request hangs"
        assert all(task.cancelled() or task.exception() is None for task in done), "an untyped error came through"
        await asyncio.sleep(1)
        assert engine.status().is_working
        assert (engine.active, engine.status().running, sum(engine.status().queue_depth.values())) == (0, 0, 0)
        await still_works(engine)
        assert now() < 1_000


async def still_works(engine: Engine) -> None:
    """The backends fail at random, so a few tries are fair; none of them may hang."""
    for _ in range(50):
        try:
            async with engine.admit() as ticket:
                await ticket.recognize(Recognize(np.zeros(8000, np.float32)), timeout_s=40)
                return
        except StenoError:
            await asyncio.sleep(6)
    raise AssertionError("the engine no longer serves")


@given(seed=st.integers(0, 2**32), requests=st.integers(1, 25))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_engine_on_an_async_backend_settles_everything_and_lives(seed: int, requests: int) -> None:
    dice = random.Random(seed)
    run(life(new_engine(Moody(dice), LIMITS), dice, requests))


@given(seed=st.integers(0, 2**32), requests=st.integers(1, 25))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.slow
def test_an_engine_on_a_step_backend_settles_everything_and_lives(seed: int, requests: int) -> None:
    dice = random.Random(seed)
    run(life(step_engine(backend=MoodySteps(dice), limits=LIMITS, step_s=0.05), dice, requests))
