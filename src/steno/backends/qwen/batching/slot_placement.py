"""Which class of slots a request needs, and moves to a longer slot with the KV cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steno.backends.qwen3_asr.log_mel import tokens_of
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.drafts import Ids
    from steno.backends.qwen.batching.request import Request
    from steno.backends.qwen.batching.slot_allocator import SlotAllocator
    from steno.backends.qwen.model.model import AsrModel

EXPECTED_TOKENS_PER_S = 4
"""Text tokens per second of audio for which a slot is chosen; English speech has three. A denser text outgrows its
slot."""


class SlotPlacement:
    """Places requests of one model.

    Args:
        model: has the slots' contents.
        slot_allocator: knows which of them are in use.
    """

    def __init__(self, model: AsrModel, slot_allocator: SlotAllocator) -> None:
        self._model = model
        self._slot_allocator = slot_allocator
        self.moves = 0
        """Requests that moved to a longer slot."""

    def class_for(self, request: Request, draft: Ids) -> int:
        """The class of slots for the request's prompt, and for its draft or the text that is expected."""
        if len(self._model.classes) == 1:
            return 0
        params = request.params
        before, tail = self._model.prompt_builder.around(params.context, params.language)
        text = max(len(draft) + 1, round(EXPECTED_TOKENS_PER_S * len(params.audio) / SAMPLE_RATE))
        prompt = len(before) + tokens_of(self._model.encoder.frontend.frames(len(params.audio))) + len(tail)
        return self._model.decoder.cache.class_for(prompt + min(text, request.max_tokens))

    def place(self, request: Request, draft: Ids, now: int) -> bool:
        """Give the request a slot; what its utterance has cached moves along. Returns whether there was a slot.

        Args:
            draft: what it will be prefilled with.
            now: the current step.
        """
        request.slot_class = self.class_for(request, draft)
        before = request.cached.slot if request.cached is not None else None
        if before is not None:
            self._reserve(request, before)
        request.slot = self._slot_allocator.allocate(request.cached, now, request.slot_class)
        if request.slot is None:
            return False
        if before is not None and before != request.slot:
            self._move(before, request.slot)
        return True

    def outgrown(self, requests: Sequence[Request]) -> list[Request]:
        """Those whose slot has no room for their next tokens, though a longer one would."""
        cache, lengths = self._model.decoder.cache, self._model.decoder.lengths
        full = [
            request
            for request in requests
            if (slot := request.slot) is not None and lengths[slot] + len(request.draft) >= cache.capacity[slot]
        ]
        return [request for request in full if self._outgrows(request)]

    def exchange(self, request: Request, now: int) -> None:
        """Move the request to a slot of `slot_class`, of which some are available."""
        assert request.slot is not None
        before = request.slot
        self._reserve(request, before)
        request.slot = self._slot_allocator.exchange(before, request.cached, now, request.slot_class)
        self._move(before, request.slot)

    def _outgrows(self, request: Request) -> bool:
        assert request.slot is not None
        needed = self._model.decoder.lengths[request.slot] + len(request.draft) + 1
        request.slot_class = self._model.decoder.cache.class_for(needed)
        return request.slot_class > self._slot_allocator.class_of[request.slot]

    def _reserve(self, request: Request, slot: int) -> None:
        """Allocate the memory for a move out of `slot` first: where it runs out, nothing has changed."""
        if request.slot_class > self._slot_allocator.class_of[slot]:
            decoder = self._model.decoder
            decoder.cache.reserve(request.slot_class, decoder.lengths[slot])

    def _move(self, source: int, target: int) -> None:
        self._model.move_slot(source, target)
        self.moves += 1
