"""The aligner beside the recogniser: loaded when needed, kept while in use, unloaded when idle; neither waits for the
other."""

import asyncio

import numpy as np
import pytest

from engine.engine_kinds import engine_kind  # noqa: F401
from engine.virtual import now, recognize, run, step_engine
from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Progress
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.engine.lifecycle import LifecycleState
from steno.engine.queue import Priority
from steno.errors import DeadlineExceededError, ModelLoadError, UnsupportedLanguageError
from steno.types import SAMPLE_RATE, Word

pytestmark = pytest.mark.usefixtures("engine_kind")


class ScriptedAligner:
    """Spreads the words over the audio. What it costs is virtual time."""

    name = "scripted"
    model_id = "an aligner"
    languages = frozenset({"en"})
    workers = 1
    live_workers = 0
    max_audio_s = 60.0

    def __init__(self, fails: int = 0, load_s: float = 1.0, align_s: float = 0.1) -> None:
        self.loads = self.unloads = self.aborted = 0
        self._fails, self._load_s, self.align_s = fails, load_s, align_s

    async def load(self, progress: Progress) -> None:
        await asyncio.sleep(self._load_s)
        if self._fails:
            self._fails -= 1
            raise ModelLoadError("broken")
        self.loads += 1

    async def unload(self) -> None:
        self.unloads += 1

    async def align(self, work: Align) -> Alignment:
        try:
            await asyncio.sleep(self.align_s)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        return Alignment(tuple(Word(text, n, n + 1) for n, text in enumerate(work.text.split())))


def engine_with(aligner: ScriptedAligner | None) -> Engine:
    return step_engine(limits=AdmissionLimits(idle_timeout_s=60), aligner=aligner)


def align(seconds: float = 1.0) -> Align:
    return Align(np.zeros(int(seconds * SAMPLE_RATE), np.float32), "one two")


def test_recognition_alone_never_loads_it() -> None:
    async def main() -> None:
        aligner = ScriptedAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            await ticket.recognize(recognize())
            assert (aligner.loads, engine.aligner_state) == (0, LifecycleState.UNLOADED)

    run(main())


def test_it_loads_with_the_first_alignment_and_without_the_recogniser() -> None:
    async def main() -> None:
        aligner = ScriptedAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            found = await ticket.align(align())
            assert [word.text for word in found.words] == ["one", "two"]
            assert (aligner.loads, engine.aligner_state, engine.model_state) == (
                1,
                LifecycleState.READY,
                LifecycleState.UNLOADED,
            )

    run(main())


def test_a_ticket_that_has_aligned_keeps_it_and_idleness_unloads_it() -> None:
    async def main() -> None:
        aligner = ScriptedAligner()
        async with engine_with(aligner) as engine:
            async with engine.admit() as ticket:
                await ticket.align(align())
                await asyncio.sleep(300)
                assert engine.aligner_state is LifecycleState.READY
                await ticket.align(align())
            await asyncio.sleep(61)
            assert (aligner.loads, aligner.unloads, engine.aligner_state) == (1, 1, LifecycleState.UNLOADED)
            async with engine.admit() as ticket:
                await ticket.align(align())
            assert aligner.loads == 2

    run(main())


def test_a_request_that_only_recognises_does_not_keep_it() -> None:
    async def main() -> None:
        aligner = ScriptedAligner()
        async with engine_with(aligner) as engine:
            async with engine.admit() as ticket:
                await ticket.align(align())
            async with engine.admit() as ticket:
                await ticket.recognize(recognize())
                await asyncio.sleep(61)
                assert (engine.aligner_state, engine.model_state) == (LifecycleState.UNLOADED, LifecycleState.READY)

    run(main())


def test_recognition_does_not_wait_for_a_slow_alignment() -> None:
    async def main() -> None:
        async with engine_with(ScriptedAligner(align_s=60.0)) as engine, engine.admit() as ticket:
            await ticket.recognize(recognize())
            slow = asyncio.create_task(ticket.align(align(30.0)))
            await asyncio.sleep(2.0)
            began = now()
            await ticket.recognize(recognize())
            assert now() - began < 1.0
            assert not slow.done()
            slow.cancel()

    run(main())


def test_a_cancelled_alignment_is_aborted() -> None:
    async def main() -> None:
        aligner = ScriptedAligner(align_s=60.0)
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            slow = asyncio.create_task(ticket.align(align(30.0)))
            await asyncio.sleep(2.0)
            slow.cancel()
            await asyncio.sleep(0.1)
            assert aligner.aborted == 1

    run(main())


def test_a_load_that_fails_fails_the_alignment_alone() -> None:
    async def main() -> None:
        aligner = ScriptedAligner(fails=1)
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            with pytest.raises(ModelLoadError, match="an aligner could not be loaded: broken"):
                await ticket.align(align())
            assert (await ticket.recognize(recognize())).text == "w0 w1"

    run(main())


def test_an_upload_waits_for_the_load_once_and_uses_the_aligner_when_it_is_ready() -> None:
    async def main() -> None:
        async with engine_with(ScriptedAligner(load_s=45.0)) as engine, engine.admit() as ticket:
            began = now()
            with pytest.raises(ModelLoadError, match="still loading"):
                await ticket.align(align(), timeout_s=10.0)
            assert now() - began == pytest.approx(10.0)
            with pytest.raises(ModelLoadError, match="still loading"):
                await ticket.align(align(), timeout_s=10.0)
            assert now() - began == pytest.approx(10.0), "the second piece did not wait"
            await asyncio.sleep(40.0)
            assert len((await ticket.align(align())).words) == 2

    run(main())


def test_a_live_session_never_waits_for_the_load() -> None:
    async def main() -> None:
        async with engine_with(ScriptedAligner(load_s=45.0)) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            ticket.prepare_aligner()
            assert engine.aligner_state is LifecycleState.LOADING, (
                "the load begins when the session says that it wants words"
            )
            began = now()
            with pytest.raises(ModelLoadError, match="still loading"):
                await ticket.align(align())
            assert now() == began
            await asyncio.sleep(46.0)
            assert len((await ticket.align(align())).words) == 2

    run(main())


def test_a_live_session_forgets_a_load_that_failed() -> None:
    async def main() -> None:
        async with engine_with(ScriptedAligner(fails=1)) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            ticket.prepare_aligner()
            await asyncio.sleep(2.0)
            with pytest.raises(ModelLoadError, match="broken"):
                await ticket.align(align())
            await asyncio.sleep(10.0)
            with pytest.raises(ModelLoadError, match="still loading"):
                await ticket.align(align())
            await asyncio.sleep(2.0)
            assert len((await ticket.align(align())).words) == 2

    run(main())


def test_an_upload_waits_in_vain_for_a_hanging_aligner_once() -> None:
    async def main() -> None:
        async with engine_with(ScriptedAligner(align_s=1e6)) as engine, engine.admit() as ticket:
            began = now()
            with pytest.raises(DeadlineExceededError, match="the times of its words"):
                await ticket.align(align(), timeout_s=10.0)
            for _ in range(50):
                with pytest.raises(ModelLoadError, match="did not answer in time"):
                    await ticket.align(align(), timeout_s=10.0)
            assert now() - began < 12.0

    run(main())


def test_a_live_session_tries_a_hanging_aligner_again_after_a_rest() -> None:
    async def main() -> None:
        aligner = ScriptedAligner(align_s=1e6)
        async with engine_with(aligner) as engine, engine.admit(Priority.LIVE_PARTIAL) as ticket:
            ticket.prepare_aligner()
            await asyncio.sleep(2.0)
            with pytest.raises(DeadlineExceededError):
                await ticket.align(align(), timeout_s=3.0)
            with pytest.raises(ModelLoadError, match="did not answer in time"):
                await ticket.align(align(), timeout_s=3.0)
            await asyncio.sleep(31.0)
            aligner.align_s = 0.1
            assert len((await ticket.align(align(), timeout_s=3.0)).words) == 2

    run(main())


def test_a_text_in_another_language_neither_loads_it_nor_waits() -> None:
    async def main() -> None:
        aligner = ScriptedAligner(load_s=45.0)
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            began = now()
            with pytest.raises(UnsupportedLanguageError, match="'de'"):
                await ticket.align(Align(np.zeros(SAMPLE_RATE, np.float32), "eins zwei", "de"))
            assert (now(), aligner.loads, engine.aligner_state) == (began, 0, LifecycleState.UNLOADED)

    run(main())


def test_a_session_that_opens_while_it_is_being_unloaded_has_it_loaded_again() -> None:
    async def main() -> None:
        class SlowToUnload(ScriptedAligner):
            async def unload(self) -> None:
                await asyncio.sleep(5.0)
                await super().unload()

        aligner = SlowToUnload()
        async with engine_with(aligner) as engine:
            async with engine.admit() as ticket:
                await ticket.align(align())
            await asyncio.sleep(61.0)
            assert engine.aligner_state is LifecycleState.UNLOADING
            async with engine.admit(Priority.LIVE_PARTIAL) as ticket:
                ticket.prepare_aligner()
                await asyncio.sleep(10.0)
                assert (engine.aligner_state, aligner.loads) == (LifecycleState.READY, 2)

    run(main())


def test_without_an_aligner_an_alignment_is_refused_by_name() -> None:
    async def main() -> None:
        async with engine_with(None) as engine, engine.admit() as ticket:
            ticket.prepare_aligner()
            with pytest.raises(UnsupportedLanguageError, match="ALIGNER"):
                await ticket.align(align())

    run(main())


def test_it_is_unloaded_when_the_engine_ends() -> None:
    async def main() -> None:
        aligner = ScriptedAligner()
        async with engine_with(aligner) as engine, engine.admit() as ticket:
            await ticket.align(align())
        assert aligner.unloads == 1

    run(main())
