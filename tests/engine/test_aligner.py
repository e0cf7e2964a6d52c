"""An aligner with a model of its own: loaded when it is needed, kept while it is used, unloaded when idle."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from engine.virtual import now, recognize, run, step_engine
from steno.backends.base import Align, Progress
from steno.backends.scripted import ScriptedBackend
from steno.engine.engine import Engine
from steno.engine.gate import Limits
from steno.engine.lifecycle import State
from steno.errors import ModelLoadError
from steno.types import SAMPLE_RATE


class CountingAligner:
    """Loads at once, unless told to fail."""

    model_id = "an aligner"

    def __init__(self, fails: int = 0) -> None:
        self.loads = 0
        self.unloads = 0
        self._fails = fails

    def load(self, progress: Progress) -> None:
        if self._fails:
            self._fails -= 1
            raise ModelLoadError("broken")
        self.loads += 1

    def unload(self) -> None:
        self.unloads += 1


class AligningBackend(ScriptedBackend):
    """The scripted backend, whose alignments need the aligner."""

    def __init__(self, aligner: CountingAligner) -> None:
        super().__init__(step_s=0.1, sleep=lambda _: None)
        self.aligner = aligner


def engine_with(aligner: CountingAligner) -> Engine:
    return step_engine(backend=AligningBackend(aligner), limits=Limits(idle_timeout_s=60))


def align() -> Align:
    return Align(np.zeros(SAMPLE_RATE, np.float32), "one two")


@pytest.fixture(autouse=True)
def _no_real_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(call: Callable[..., object], *args: object) -> object:
        return call(*args)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


def test_recognition_alone_never_loads_it() -> None:
    async def main() -> None:
        aligner = CountingAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            await ticket.recognize(recognize())
            assert (aligner.loads, engine.aligner_state) == (0, State.UNLOADED)

    run(main())


def test_it_loads_with_the_first_alignment_and_without_the_recogniser() -> None:
    async def main() -> None:
        aligner = CountingAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            found = await ticket.align(align())
            assert [word.text for word in found.words] == ["one", "two"]
            assert (aligner.loads, engine.aligner_state, engine.model_state) == (1, State.READY, State.UNLOADED)

    run(main())


def test_a_ticket_that_has_aligned_keeps_it_and_idleness_unloads_it() -> None:
    async def main() -> None:
        aligner = CountingAligner()
        async with engine_with(aligner) as engine:
            async with engine.admit() as ticket:
                await ticket.align(align())
                await asyncio.sleep(300)
                assert engine.aligner_state is State.READY
                await ticket.align(align())
            await asyncio.sleep(61)
            assert (aligner.loads, aligner.unloads, engine.aligner_state) == (1, 1, State.UNLOADED)
            async with engine.admit() as ticket:
                await ticket.align(align())
            assert aligner.loads == 2

    run(main())


def test_a_request_that_only_recognises_does_not_keep_it() -> None:
    async def main() -> None:
        aligner = CountingAligner()
        async with engine_with(aligner) as engine:
            async with engine.admit() as ticket:
                await ticket.align(align())
            async with engine.admit() as ticket:
                await ticket.recognize(recognize())
                await asyncio.sleep(61)
                assert (engine.aligner_state, engine.model_state) == (State.UNLOADED, State.READY)

    run(main())


def test_a_load_that_fails_fails_the_alignment_alone() -> None:
    async def main() -> None:
        aligner = CountingAligner(fails=1)
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            with pytest.raises(ModelLoadError, match="an aligner could not be loaded: broken"):
                await ticket.align(align())
            assert (await ticket.recognize(recognize())).text == "w0 w1"
            await asyncio.sleep(now() + 10)
            with pytest.raises(ModelLoadError):
                await ticket.align(align())  # this request does not wait for it again
            async with engine.admit() as another:
                await another.align(align())

    run(main())


def test_it_is_unloaded_when_the_engine_ends() -> None:
    async def main() -> None:
        aligner = CountingAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            await ticket.align(align())
        assert aligner.unloads == 1

    run(main())
