"""The prefill queue: which waiting requests are encoded and prefilled in the next step.

Live requests go first, and some slots are reserved for them. A recording that was passed over often enough gets its
turn, one portion of prefill. Without live requests, recordings wait for each other: a batched prefill costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steno.backends.qwen.model.device import Scale
from steno.backends.qwen3_asr.log_mel import TOKENS_PER_S
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.qwen.batching.request import Request
    from steno.backends.qwen.batching.slot_allocator import SlotAllocator

MAX_PREFILL_TOKENS: dict[Scale, int] = {"cuda": 8192, "cpu": 1024}
"""Max prefill tokens per step, including padding. Decoding requests wait for as long as this takes."""
MAX_LIVE_PREFILL_TOKENS: dict[Scale, int] = {"cuda": 4096, "cpu": 256}
"""Max prefill tokens per step while any live utterance is in progress, including padding."""

MAX_LENGTH_RATIO: dict[Scale, float] = {"cuda": 4.0, "cpu": 1.3}
"""Longest over shortest prompt in one batch. Prompts are padded to the longest; longer ones go into another batch."""
SHORT_TOKENS = 16
"""Shorter prompts count as this long when lengths are compared."""

MAX_PASSED_OVER = 8
"""Live batches that go before a recording; after so many it is not passed over again."""
MAX_GATHER_STEPS = 32
"""Steps that a recording waits for others, to share their prefill."""


RESERVED_LONG_SHARE = 4
"""One of so many long slots is reserved for live requests."""


class PrefillQueue(list["Request"]):
    """Requests that wait for prefill, in order of arrival.

    Args:
        slot_allocator: allocates the slots that they wait for.
        reserved: slots reserved for live requests.
        scale: of the device.
    """

    def __init__(self, slot_allocator: SlotAllocator, reserved: int, scale: Scale) -> None:
        super().__init__()
        self._slot_allocator = slot_allocator
        self._slots, self._reserved = sum(slot_allocator.counts), reserved
        self._scale = scale

    def next_batch(self, decoding: Sequence[Request]) -> list[Request]:
        """The first ready request and those of similar length, as many as fit; empty where decoding is better."""
        ready = self._ready(decoding)
        if not ready or self._should_gather(ready, decoding):
            return []
        first, *others = ready
        cost = _prefill_tokens(first)
        batch, costs = [first], [cost]
        is_live = self._slot_allocator.is_live
        budget = (MAX_LIVE_PREFILL_TOKENS if is_live else MAX_PREFILL_TOKENS)[self._scale]
        for request in sorted(others, key=lambda request: abs(_prefill_tokens(request) - cost)):
            both = [*costs, _prefill_tokens(request)]
            if request.is_live != first.is_live and is_live:
                continue
            max_tokens = MAX_LENGTH_RATIO[self._scale] * max(min(both), SHORT_TOKENS)
            if max(both) > max_tokens or max(both) * len(both) > budget:
                break
            batch.append(request)
            costs = both
        for request in ready:
            request.passed_over = request.passed_over + 1 if first.is_live and request not in batch else 0
        return batch

    def _ready(self, decoding: Sequence[Request]) -> list[Request]:
        """Requests that have a slot or may get one, live ones first; at most one of each utterance."""
        in_progress = {id(request.cached) for request in decoding if request.cached is not None}
        ready: list[Request] = []
        for request in self:
            if request.cached is None or id(request.cached) not in in_progress:
                ready.append(request)
                in_progress.add(id(request.cached))
        ready.sort(key=lambda request: not request.is_live and request.passed_over < MAX_PASSED_OVER)
        upload_slots = sum(request.slot is not None and not request.is_live for request in (*self, *decoding))
        free_upload_slots = max(self._slots - self._reserved - upload_slots, 0)
        new = [request for request in ready if request.slot is None]
        admitted = self._with_slots(new, free_upload_slots, decoding)
        return [request for request in ready if request.slot is not None or request in admitted]

    def may_move(self, request: Request, decoding: Sequence[Request]) -> bool:
        """Whether a request that is being decoded may get a slot of `slot_class` now."""
        number = request.slot_class
        return self._slot_allocator.available(number) > 0 and (
            request.is_live or self._upload_room(number, decoding) > 0
        )

    def _with_slots(self, new: Sequence[Request], max_uploads: int, decoding: Sequence[Request]) -> set[Request]:
        """Those of `new` that a slot is available for. Long slots that no request which needs one takes are left to the
        others; so a request that waits for one holds up none that does not need it."""
        found: set[Request] = set()
        available = for_uploads = 0
        for number in reversed(range(len(self._slot_allocator.counts))):
            of_class = self._slot_allocator.available(number)
            available += of_class
            for_uploads += min(self._upload_room(number, decoding), of_class)
            for request in new:
                left = available if request.is_live else min(for_uploads, available, max_uploads)
                if left > 0 and self._class_of(request) == number:
                    found.add(request)
                    available -= 1
                    for_uploads -= not request.is_live
                    max_uploads -= not request.is_live
        return found

    def _class_of(self, request: Request) -> int:
        """The class of the slot that the request takes: an utterance takes its own, though it may need none so long."""
        own = request.cached.slot if request.cached is not None else None
        return request.slot_class if own is None else max(request.slot_class, self._slot_allocator.class_of[own])

    def _upload_room(self, number: int, decoding: Sequence[Request]) -> int:
        """How many slots of a class recordings may still get. In a longer class some are reserved for live requests:
        an utterance that outgrows its slot would wait for the end of a recording's text."""
        class_of, count = self._slot_allocator.class_of, self._slot_allocator.counts[number]
        if number == 0:
            return count
        held = sum(
            request.slot is not None and class_of[request.slot] == number and not request.is_live
            for request in (*self, *decoding)
        )
        return max(count - count // RESERVED_LONG_SHARE - held, 0)

    def _should_gather(self, ready: Sequence[Request], decoding: Sequence[Request]) -> bool:
        """Whether to wait for more recordings. Where slots become free one by one, prompts would be prefilled one by
        one, at twice the cost of a batch. While few requests decode, there is room to prefill at once."""
        few = len(decoding) < self._slots // 2
        if few or any(request.is_live for request in ready) or len(ready) >= self._slots // 4:
            return False
        for request in ready:
            request.gather_steps += request.audio_state is None
        return ready[0].audio_state is None and ready[0].gather_steps < MAX_GATHER_STEPS


def _prefill_tokens(request: Request) -> int:
    """Estimate of the tokens that have to be prefilled."""
    cached = request.cached
    state = cached.audio_state if cached is not None and cached.slot is not None else None
    cached_s = state.closed_s if state is not None else 0
    new_s = max(len(request.params.audio) / SAMPLE_RATE - cached_s, 0)
    text = max(len(request.proposed), len(cached.tokens) if cached is not None else 0)
    return round(TOKENS_PER_S * new_s) + text
