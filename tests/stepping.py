"""Driving the Qwen backend as the engine does, and seeing the tokens that it chose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.batching.cascade import Cascade
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.slot_classes import SlotClass

SLOT_TOKENS = 2000


class Spied(QwenBackend):
    """Keeps the tokens of each text, and recognises nothing a second time.

    Args:
        loaded: the model.
        small: one that goes before it.
        short: those of the slots that are short; the others have `SLOT_TOKENS`.
    """

    def __init__(
        self,
        loaded: Any,
        slots: int,
        *,
        incremental: bool = True,
        small: Any = None,
        dual: bool = False,
        reserved: int = 0,
        short: SlotClass | None = None,
    ) -> None:
        super().__init__(LoadOptions("spied"), EngineOptions(slots, incremental))
        long = SlotClass(slots - (short.slots if short is not None else 0), SLOT_TOKENS)
        classes = [long] if short is None else [short, long]
        self.model = AsrModel(loaded, classes)
        self.runner = ModelRunner(self.model, reserved=reserved, incremental=incremental)
        fast = None if small is None else ModelRunner(AsrModel(small, classes), incremental=incremental)
        self._cascade = Cascade(self.runner, fast, dual=dual)
        self.tokens: defaultdict[Recognize, list[int]] = defaultdict(list)
        """None where there was only silence."""

    def new_request(self, work: Recognize) -> Any:
        """What the backend makes of `work`, without adding it to the runner."""
        return self._new_request(work, self.loaded())

    def has_slot(self, work: Recognize) -> bool:
        """Whether `work`, which is in progress, has a KV cache slot."""
        return self._requests[work].slot is not None

    def _read(self, request: Any, runner: Any) -> Any:
        self.tokens[request.work] = list(request.tokens)
        request.is_trusted = True
        return super()._read(request, runner)


def outcomes_of(backend: Any, works: Iterable[Recognize], at_once: int | None = None) -> dict[Recognize, Any]:
    """What becomes of `works`, so many at once as there are slots; the next as soon as one is done."""
    todo: list[Recognize] = list(works)
    outcomes: dict[Recognize, Any] = {}
    running = 0
    while todo or running:
        while todo and running < (at_once or backend.slots):
            backend.admit(todo.pop(0))
            running += 1
        finished = backend.step()
        running -= len(finished)
        outcomes |= {one.work: one.outcome for one in finished}
    return outcomes


def tokens_of(backend: Spied, works: Sequence[Recognize], at_once: int | None = None) -> list[list[int]]:
    outcomes_of(backend, works, at_once)
    return [backend.tokens[work] for work in works]
