"""Virtual time and scripted backends for the engine's tests: nothing here waits for a real clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import looptime
import numpy as np

from engine.engine_kinds import new_engine
from steno.backends.base import Capabilities, Progress, Recognize
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.front import Engine
from steno.types import SAMPLE_RATE, Hypothesis

T = TypeVar("T")
VirtualLoop = looptime.make_event_loop_class(asyncio.SelectorEventLoop)


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop whose clock jumps to the next timer; whatever was left behind is an error."""
    problems: list[dict[str, Any]] = []
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start=0, end=1_000_000)) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: problems.append(context))
        result = runner.run(main)
    assert not problems, problems
    return result


def now() -> float:
    return asyncio.get_running_loop().time()


def recognize(seconds: float = 1.0, **options: Any) -> Recognize:
    return Recognize(np.zeros(int(seconds * SAMPLE_RATE), np.float32), **options)


def step_engine(slots: int = 4, step_s: float = 0.1, limits: AdmissionLimits | None = None, **options: Any) -> Engine:
    """An engine on the scripted backend; a step takes `step_s` of virtual time."""
    backend = options.pop("backend", None) or ScriptedBackend(slots=slots, step_s=step_s, sleep=lambda _: None)

    async def in_virtual_thread(call: Callable[[], object]) -> object:
        await asyncio.sleep(step_s)
        return call()

    return new_engine(backend, limits or AdmissionLimits(), run_in_thread=in_virtual_thread, **options)


class SleepingBackend:
    """An `AsyncBackend` whose call takes as long as its audio. It counts what happens to it."""

    name = "sleeping"
    model_id = "sleeping"
    device = "cpu"
    capabilities = Capabilities(
        languages=None, live=False, word_times=False, context=False,
        max_audio_s=60.0,
    )  # fmt: skip

    def __init__(self, workers: int = 2, live_workers: int = 1, load_s: float = 1.0) -> None:
        self.workers, self.live_workers, self.load_s = workers, live_workers, load_s
        self.loads = self.unloads = self.most_at_once = self.aborted = 0
        self.load_errors: list[Exception] = []
        self.call_errors: list[BaseException | None] = []
        self._at_once = 0

    async def load(self, progress: Progress) -> None:
        progress(0.5, "half")
        await asyncio.sleep(self.load_s)
        if self.load_errors:
            raise self.load_errors.pop(0)
        self.loads += 1

    async def unload(self) -> None:
        self.unloads += 1

    async def recognize(self, work: Recognize) -> Hypothesis:
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(len(work.audio) / SAMPLE_RATE)
            error = self.call_errors.pop(0) if self.call_errors else None
            if error is not None:
                raise error
            return Hypothesis(f"{len(work.audio)} samples", "en")
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self._at_once -= 1

    def forget(self, utterance: str) -> None: ...
