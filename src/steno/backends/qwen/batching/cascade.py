"""Which model hears what: the one there is, or a small one before the large one.

- `standard`: one model.
- `speculative`: the small model writes, the large one checks all of it in one pass and goes on where it was wrong. The
  text is the large model's, whatever the small one wrote.
- `dual`: partials are the small model's. The large one hears a live utterance now and then, which is what becomes
  stable, and at its end; it starts from what the small one has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loguru import logger

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.qwen.batching.request import Request, RequestParams
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.engine_options import PathName

SETTLE_EVERY_S = 1.5
"""New audio after which the large model hears a live utterance again."""


class Cascade:
    """The way of each hearing through the models.

    Args:
        main: its texts count.
        fast: the small model, where there are two.
        dual: whether the small one's partials are told.
    """

    def __init__(self, main: ModelRunner, fast: ModelRunner | None = None, *, dual: bool = False) -> None:
        self.main = main
        self.fast = fast
        self._dual = dual

    @property
    def name(self) -> PathName:
        if self.fast is None:
            return "standard"
        return "dual" if self._dual else "speculative"

    @property
    def runners(self) -> list[ModelRunner]:
        return [self.main] if self.fast is None else [self.fast, self.main]

    def start(self, hearing: RequestParams) -> Request:
        if self.fast is None:
            return self.main.start(hearing)
        if self._dual and hearing.final:
            return self._at_last(hearing, self.fast)
        return self.fast.start(hearing)

    def follow(self, row: Request) -> Request | None:
        """What is to be heard next, where the result of `row` is not the last word. It may have failed."""
        if row.runner is not self.fast:
            return None
        if row.failure is not None:
            logger.warning("the small model failed: the large one goes on without it")
            return self.main.start(row.hearing)
        if self._dual and not self._is_due(row.hearing):
            return None
        return self.main.start(replace(row.hearing, draft=tuple(row.tokens)))

    def settles(self, row: Request) -> bool:
        """Whether what the row says may become stable."""
        return row.runner is self.main

    def forget(self, utterance: str) -> None:
        for runner in self.runners:
            runner.forget(utterance)

    def _at_last(self, hearing: RequestParams, fast: ModelRunner) -> Request:
        draft: tuple[int, ...] = ()
        if hearing.utterance is not None and fast.places.knows(hearing.utterance):
            kept = fast.places.kept(hearing.utterance)
            draft = kept.tokens if kept.language == hearing.language else ()
            fast.forget(hearing.utterance)
        return self.main.start(replace(hearing, draft=draft))

    def _is_due(self, hearing: RequestParams) -> bool:
        if hearing.utterance is None:
            return False
        known = self.main.places.kept(hearing.utterance)
        return len(hearing.audio) - known.samples >= SETTLE_EVERY_S * SAMPLE_RATE
