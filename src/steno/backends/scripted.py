"""A `StepBackend` without a model: fixed cost per step, fixed text. For tests and benchmarks of everything around it.

It returns one word per 0.5 s of audio: `w0 w1 w2 …`. A piece of work takes one prefill step and one step per word, as
with a real decoder; a step costs the same for any number of occupied slots.
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
        step_s: duration of a step, spent in `sleep`, which tests in virtual time replace.
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
        self.occupied: list[_Slot] = []

    @property
    def slots(self) -> int:
        return self._slot_count

    def load(self, progress: Progress) -> None:
        progress(1.0, "nothing to load")

    def unload(self) -> None:
        self.occupied.clear()

    def admit(self, work: Recognize) -> None:
        self.occupied.append(_Slot(work, steps_left=1 + len(_words(work))))

    def step(self) -> Sequence[Finished]:
        self._sleep(self._step_s)
        for slot in self.occupied:
            slot.steps_left -= 1
        done = [slot for slot in self.occupied if slot.steps_left <= 0]
        self.occupied = [slot for slot in self.occupied if slot.steps_left > 0]
        return [Finished(slot.work, _result(slot.work)) for slot in done]

    def release(self, work: Recognize) -> None:
        self.occupied = [slot for slot in self.occupied if slot.work is not work]

    def forget(self, utterance: str) -> None:
        """No-op: nothing is cached."""


def _words(work: Recognize) -> tuple[Word, ...]:
    count = int(len(work.audio) / SAMPLE_RATE / WORD_S)
    return tuple(Word(f"w{n}", n * WORD_S, (n + 1) * WORD_S, 1.0) for n in range(count))


def _result(work: Recognize) -> Hypothesis:
    words = _words(work)
    return Hypothesis(" ".join(word.text for word in words), work.language or "en", words, 1.0)


def create(options: BackendOptions) -> ScriptedBackend:
    """For the registry. `workers` is the number of slots; `model_id` `scripted@50ms` makes a step take 50 ms.

    Raises:
        SettingsError: another `model_id`.
    """
    match = re.fullmatch(r"scripted(?:@(\d+)ms)?", options.model_id or "scripted")
    if match is None:
        raise SettingsError(
            f"invalid value {options.model_id!r} for MODEL_ID; expected 'scripted@Nms' for the scripted backend"
        )
    step_s = int(match[1]) / 1000 if match[1] else 0.005
    return ScriptedBackend(slots=options.workers or 8, step_s=step_s)
