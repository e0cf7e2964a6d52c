"""Who is next: rows that wait to be encoded and filled in.

Live rows go first, and some slots are theirs alone. A recording that was passed over often enough has its turn, one
portion long. Where nobody is live, recordings wait for each other: prompts that are filled in together cost less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steno.backends.qwen.model.audio_state import TOKENS_PER_S
from steno.backends.qwen.model.device import Scale
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.backends.qwen.batching.request import Request
    from steno.backends.qwen.batching.slot_allocator import SlotAllocator

FILL_TOKENS: dict[Scale, int] = {"cuda": 8192, "cpu": 1024}
"""In one step, padding included: what else is decoded waits so long …"""
LIVE_FILL_TOKENS: dict[Scale, int] = {"cuda": 4096, "cpu": 256}
"""… and so long while anybody is live."""

LIKE_LENGTHS: dict[Scale, float] = {"cuda": 4.0, "cpu": 1.3}
"""Prompts in one batch are padded to the longest: those that are longer by more go into another."""
SHORT_TOKENS = 16
"""Below that all prompts are alike."""

PATIENCE = 8
"""Live rows go before the rest; a row that was passed over so often waits no longer."""
GATHERING = 32
"""Iterations that a recording's row waits for others."""


class PrefillQueue(list["Request"]):
    """In order of arrival.

    Args:
        places: whose slots they wait for.
        slots: how many there are.
        reserved: of these, for live rows alone.
        scale: of the device.
    """

    def __init__(self, places: SlotAllocator, slots: int, reserved: int, scale: Scale) -> None:
        super().__init__()
        self._places = places
        self._slots, self._reserved = slots, reserved
        self._scale = scale

    def next_batch(self, decoding: Sequence[Request]) -> list[Request]:
        """The first that may go, and those of like length, as many as fit; nothing where it is better to decode."""
        ready = self._ready(decoding)
        if not ready or self._should_gather(ready, decoding):
            return []
        first, *others = ready
        cost = _cost(first)
        batch, costs = [first], [cost]
        budget = (LIVE_FILL_TOKENS if self._places.is_live else FILL_TOKENS)[self._scale]
        for row in sorted(others, key=lambda row: abs(_cost(row) - cost)):
            both = [*costs, _cost(row)]
            if row.is_live != first.is_live and self._places.is_live:
                continue
            if max(both) > LIKE_LENGTHS[self._scale] * max(min(both), SHORT_TOKENS) or max(both) * len(both) > budget:
                break
            batch.append(row)
            costs = both
        for row in ready:
            row.passed_over = row.passed_over + 1 if first.is_live and row not in batch else 0
        return batch

    def _ready(self, decoding: Sequence[Request]) -> list[Request]:
        """Those that have a slot or may have one, live ones first; of each utterance one at a time."""
        under_way = {id(row.kept) for row in decoding if row.kept is not None}
        ready: list[Request] = []
        for row in self:
            if row.kept is None or id(row.kept) not in under_way:
                ready.append(row)
                under_way.add(id(row.kept))
        ready.sort(key=lambda row: not row.is_live and row.passed_over < PATIENCE)
        held = sum(row.slot is not None and not row.is_live for row in (*self, *decoding))
        room = max(self._slots - self._reserved - held, 0)
        new = [row for row in ready if row.slot is None]
        uploads = set([row for row in new if not row.is_live][:room])
        admitted = set([row for row in new if row.is_live or row in uploads][: self._places.available])
        return [row for row in ready if row.slot is not None or row in admitted]

    def _should_gather(self, ready: Sequence[Request], decoding: Sequence[Request]) -> bool:
        """Where slots come free one by one, prompts would be filled in one by one: that costs twice as much. While few
        rows are decoded, one more costs nothing."""
        few = len(decoding) < self._slots // 2
        if few or any(row.is_live for row in ready) or len(ready) >= self._slots // 4:
            return False
        for row in ready:
            row.gathered += row.sound is None
        return ready[0].sound is None and ready[0].gathered < GATHERING


def _cost(row: Request) -> int:
    """Tokens that have to be filled in, about."""
    kept = row.kept
    known_s = kept.sound.closed_s if kept is not None and kept.slot is not None and kept.sound is not None else 0
    new_s = max(len(row.hearing.audio) / SAMPLE_RATE - known_s, 0)
    text = max(len(row.hearing.draft), len(kept.tokens) if kept is not None else 0)
    return round(TOKENS_PER_S * new_s) + text
