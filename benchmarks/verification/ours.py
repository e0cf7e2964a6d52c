"""steno's recogniser and aligner, driven as by the engine: pieces are admitted to slots and batched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

from steno.alignment.repair import Span, repair_times
from steno.backends.aligners.base import Align, Alignment
from steno.backends.base import Recognize
from steno.backends.memory import release_memory
from steno.backends.qwen import forced_aligner as aligning
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_aligner, load_recogniser
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.factory import default_slots
from steno.backends.qwen.forced_aligner import ForcedAligner
from steno.backends.qwen.model import precision
from steno.errors import StenoError
from steno.types import Hypothesis


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """The result of a piece."""

    hypothesis: Hypothesis
    tokens: tuple[int, ...]
    """Without the end token."""


class Recogniser:
    """A loaded `QwenBackend`, and the model within it.

    Args:
        options: which checkpoint, and where it runs.
        slots: pieces at once; None = as many as the server would take.
    """

    def __init__(self, options: LoadOptions, slots: int | None) -> None:
        self.slots = slots or default_slots(options.device)
        self._backend = QwenBackend(options, EngineOptions(self.slots))
        self._loaded: LoadedCheckpoint | None = None
        self._parser: _RecordingParser | None = None
        began = time.perf_counter()
        with mock.patch.object(precision, "load_recogniser", self._keeping(load_recogniser)):
            self._backend.load(lambda *_: None)
        self.load_s = time.perf_counter() - began
        model: Any = self._backend.loaded().main.model
        self.ends: frozenset[int] = model.stop_token_ids
        self._parser = model.output_parser = _RecordingParser(model.output_parser)

    @property
    def loaded(self) -> LoadedCheckpoint:
        """The model. A reference to it keeps its memory."""
        assert self._loaded is not None, "it has been unloaded"
        return self._loaded

    def hear(self, works: Sequence[Recognize], at_once: int | None = None) -> list[Heard]:
        """Recognise all `works`; results in their order. Raises StenoError."""
        assert self._parser is not None, "it has been unloaded"
        self._parser.heard.clear()
        outcomes = _run(self._backend, works, at_once or self.slots)
        for outcome in outcomes:
            if isinstance(outcome, StenoError):
                raise outcome
        tokens = {id(hypothesis): tokens for hypothesis, tokens in self._parser.heard}
        return [Heard(outcome, tokens.get(id(outcome), ())) for outcome in outcomes]

    def unload(self) -> None:
        self._loaded = self._parser = None
        self._backend.unload()

    def _keeping(self, load: Callable[..., LoadedCheckpoint]) -> Callable[..., LoadedCheckpoint]:
        def loading(*args: Any) -> LoadedCheckpoint:
            self._loaded = load(*args)
            return self._loaded

        return loading


class _RecordingParser:
    """An `OutputParser` that records the tokens of each hypothesis."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.heard: list[tuple[Hypothesis, tuple[int, ...]]] = []

    def read(self, tokens: Sequence[int], *args: Any) -> Hypothesis:
        hypothesis: Hypothesis = self._reader.read(tokens, *args)
        self.heard.append((hypothesis, tuple(tokens)))
        return hypothesis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """Word times after and before repair."""

    alignment: Alignment
    raw: tuple[Span, ...]


class Aligner:
    """A loaded forced aligner."""

    def __init__(self, options: LoadOptions) -> None:
        began = time.perf_counter()
        self._aligner: ForcedAligner | None = ForcedAligner(load_aligner(options, lambda *_: None))
        self.load_s = time.perf_counter() - began

    def align(self, work: Align) -> Aligned:
        """Align a piece. Raises StenoError."""
        with mock.patch.object(aligning, "repair_times", wraps=repair_times) as seen:
            aligning.check(work)
            assert self._aligner is not None
            (outcome,) = self._aligner.align([work])
        if isinstance(outcome, StenoError):
            raise outcome
        raw = [span for call in seen.call_args_list for span in call.args[0]]
        return Aligned(outcome, tuple(raw))

    def unload(self) -> None:
        self._aligner = None
        release_memory()


def _run(backend: Any, works: Sequence[Any], at_once: int) -> list[Any]:
    todo = list(reversed(works))
    outcomes: dict[Any, Any] = {}
    admitted: set[Any] = set()
    try:
        while len(outcomes) < len(works):
            while todo and len(admitted) - len(outcomes) < at_once:
                backend.admit(todo[-1])
                admitted.add(todo.pop())
            outcomes |= {finished.work: finished.outcome for finished in backend.step()}
    finally:
        for work in admitted - outcomes.keys():
            backend.release(work)
    return [outcomes[work] for work in works]
