"""A `StepBackend` without a model: fixed cost a step, known text. For tests and benchmarks of everything around it.

It hears one word in each half second of audio: `w0 w1 w2 …`. A piece of work takes one step to prefill and one for
each word, as a real decoder would; a step costs the same however many slots are occupied.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steno.backends.base import Capabilities, Finished, Progress, Recognize
from steno.errors import SettingsError
from steno.types import SAMPLE_RATE, Hypothesis, Word

if TYPE_CHECKING:
    from steno.backends.registry import BackendOptions

WORD_S = 0.5


@dataclass(slots=True)
class _Slot:
    work: Recognize
    steps_left: int


class ScriptedBackend:
    """See the module.

    Args:
        step_s: what a step costs; spent in `sleep`, which tests in virtual time replace.
    """

    name = "scripted"
    model_id = "scripted"
    device = "cpu"
    capabilities = Capabilities(
        languages=None,
        live=True,
        word_times=True,
        context=True,
        max_audio_s=60.0,
    )

    def __init__(self, slots: int = 8, step_s: float = 0.005, sleep: Callable[[float], object] = time.sleep) -> None:
        self._slot_count = slots
        self._step_s = step_s
        self._sleep = sleep
        self._occupied: list[_Slot] = []

    @property
    def slots(self) -> int:
        return self._slot_count

    def load(self, progress: Progress) -> None:
        progress(1.0, "nothing to load")

    def unload(self) -> None:
        self._occupied.clear()

    def admit(self, work: Recognize) -> None:
        self._occupied.append(_Slot(work, steps_left=1 + len(_words(work))))

    def step(self) -> Sequence[Finished]:
        self._sleep(self._step_s)
        for slot in self._occupied:
            slot.steps_left -= 1
        done = [slot for slot in self._occupied if slot.steps_left <= 0]
        self._occupied = [slot for slot in self._occupied if slot.steps_left > 0]
        return [Finished(slot.work, _result(slot.work)) for slot in done]

    def release(self, work: Recognize) -> None:
        self._occupied = [slot for slot in self._occupied if slot.work is not work]

    def forget(self, utterance: str) -> None:
        """Nothing is kept between two calls."""


def _words(work: Recognize) -> tuple[Word, ...]:
    count = int(len(work.audio) / SAMPLE_RATE / WORD_S)
    return tuple(Word(f"w{n}", n * WORD_S, (n + 1) * WORD_S, 1.0) for n in range(count))


def _result(work: Recognize) -> Hypothesis:
    words = _words(work)
    return Hypothesis(" ".join(word.text for word in words), work.language or "en", words, 1.0)


def create(options: BackendOptions) -> ScriptedBackend:
    """For the registry. `workers` are its slots; a `model_id` of `scripted@50ms` makes a step cost 50 ms.

    Raises:
        SettingsError: another `model_id`.
    """
    asked = re.fullmatch(r"scripted(?:@(\d+)ms)?", options.model_id or "scripted")
    if asked is None:
        raise SettingsError(f"MODEL_ID={options.model_id!r}: the scripted backend has only 'scripted@Nms'")
    step_s = int(asked[1]) / 1000 if asked[1] else 0.005
    return ScriptedBackend(slots=options.workers or 8, step_s=step_s)
