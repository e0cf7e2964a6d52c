"""The model cascade: one model, or a small draft model before the large target model.

- `standard`: one model.
- `speculative`: the draft model transcribes, the target model verifies the whole text in one forward pass and decodes
  on from the first rejected token. The final text is the target model's, whatever the draft was.
- `dual`: partials are the draft model's. The target model recognises a live utterance every `SETTLE_EVERY_S`, which
  makes text stable, and at its end; it verifies the draft model's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from loguru import logger

from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.drafts import Ids
    from steno.backends.qwen.batching.request import Request
    from steno.backends.qwen.batching.runner import ModelRunner
    from steno.backends.qwen.engine_options import CascadeName

SETTLE_EVERY_S = 1.5
"""New audio after which the target model recognises a live utterance again."""


class Cascade:
    """Routes each request through one model or two.

    Args:
        main: the target model.
        fast: the draft model, where there are two.
        dual: whether partials are the draft model's.
    """

    def __init__(self, main: ModelRunner, fast: ModelRunner | None = None, *, dual: bool = False) -> None:
        self.main = main
        self.fast = fast
        self._dual = dual

    @property
    def name(self) -> CascadeName:
        if self.fast is None:
            return "standard"
        return "dual" if self._dual else "speculative"

    @property
    def runners(self) -> list[ModelRunner]:
        return [self.main] if self.fast is None else [self.fast, self.main]

    def add_request(self, request: Request) -> None:
        """Queue the first pass of a piece of work."""
        if self.fast is None:
            self.main.add_request(request)
        elif self._dual and request.params.final:
            request.proposed = self._last_draft(request, self.fast)
            self.main.add_request(request)
        else:
            self.fast.add_request(request)

    def add_next_pass(self, request: Request, runner: ModelRunner) -> Request | None:
        """Queue the target model's pass after the draft model's, where there is one.

        Args:
            request: done, and possibly failed.
            runner: the one that ran it.
        """
        if runner is not self.fast:
            return None
        if request.failure is not None:
            logger.warning("the draft model failed; the target model transcribes without a draft")
            following = request.next_pass()
        elif self._dual and not self._is_due(request):
            return None
        else:
            following = request.next_pass(proposed=tuple(request.tokens))
        self.main.add_request(following)
        return following

    def abort_request(self, request: Request) -> None:
        """Cancel the request. No-op if it has finished."""
        for runner in self.runners:
            runner.abort_request(request)

    def settles(self, runner: ModelRunner) -> bool:
        """Whether text of this runner may become stable."""
        return runner is self.main

    def forget(self, utterance: str) -> None:
        """Drop what is cached of a live utterance."""
        for runner in self.runners:
            runner.forget(utterance)

    def _last_draft(self, request: Request, fast: ModelRunner) -> Ids:
        """The draft model's last partial of an utterance that ends; its cache is dropped."""
        params = request.params
        if params.utterance is None or not fast.slot_allocator.is_cached(params.utterance):
            return ()
        cached = fast.slot_allocator.cached(params.utterance)
        fast.forget(params.utterance)
        return cached.tokens if cached.language == params.language else ()

    def _is_due(self, request: Request) -> bool:
        params = request.params
        if params.utterance is None:
            return False
        cached = self.main.slot_allocator.cached(params.utterance)
        return len(params.audio) - cached.samples >= SETTLE_EVERY_S * SAMPLE_RATE
