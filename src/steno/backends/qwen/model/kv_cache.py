"""The KV cache: keys and values of all requests that are decoded together, one slot for each.

Slots are ragged: each has its own length, and positions behind it are never attended to, so that rewinding a slot only
sets a smaller length. There are classes of slots of different length, each with its own memory (`SlotPool`). A forward
pass takes rows of all classes: only writing and attention are done class by class.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch

from steno.backends.qwen.model.slot_classes import SlotClass
from steno.backends.qwen.model.slot_pool import SlotPool

MAX_WASTED_READS = 700
"""Padding positions, over all rows, that a CPU's attention reads in the time of one more call."""


class SlotRange(NamedTuple):
    """Slots of one class that are read by one attention call."""

    slots: Sequence[int]
    attended: int
    """Positions of each slot that are read; 0 = only those written in this pass, because the slots start empty."""


class KVCache:
    """All slots. They are numbered through, the classes one behind the other.

    Args:
        config: the language model's.
        classes: none of them empty, the shortest slots first.
    """

    def __init__(self, config: Any, classes: Sequence[SlotClass], dtype: torch.dtype, device: torch.device) -> None:
        self.classes = list(classes)
        self.pools = [SlotPool(config, one, dtype, device) for one in classes]
        self.firsts = list(accumulate((one.slots for one in classes), initial=0))[:-1]
        """The first slot of each class."""
        self.class_of = [number for number, one in enumerate(classes) for _ in range(one.slots)]
        """The class of each slot."""
        self.row_of = [row for one in classes for row in range(one.slots)]
        """The row of each slot in its class's memory."""
        self.capacity = [one.length for one in classes for _ in range(one.slots)]
        """Max positions of each slot."""
        self._writes: list[tuple[SlotPool, slice, torch.Tensor, torch.Tensor]] = []
        self._reads: list[tuple[SlotPool, slice, slice | torch.Tensor, int]] = []
        self.ranges: Sequence[SlotRange] = ()
        """The slots that the next forward pass reads, see `prepare_write`."""

    def class_for(self, length: int) -> int:
        """The first class whose slots have `length` positions; the last one if none has."""
        return next((n for n, one in enumerate(self.classes) if length <= one.length), len(self.classes) - 1)

    def reserve(self, number: int, length: int) -> None:
        """Grow all slots of a class to `length` positions at least, see `SlotPool.reserve`."""
        self.pools[number].reserve(length)

    def zero_slot(self, slot: int) -> None:
        """Zero a slot, see `SlotPool.zero`."""
        self.pools[self.class_of[slot]].zero(self.row_of[slot])

    def copy_slot(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of a slot to another one, of any class."""
        pools = self.pools[self.class_of[source]], self.pools[self.class_of[target]]
        pools[1].copy_from(pools[0], self.row_of[source], self.row_of[target], length)

    def prepare_write(
        self, ranges: Sequence[SlotRange], rows: torch.Tensor, positions: torch.Tensor, is_token: torch.Tensor
    ) -> KVCache:
        """Prepare the next forward pass: it writes at `positions` of these rows, then reads them.

        Args:
            ranges: the slots of the batch, in its order.
            rows: `row_of` each of these slots, shape [slots], on the device.
            positions: shape [slots, new].
            is_token: shape [slots, new]; false for padding.
        """
        self.ranges, self._reads, self._writes = ranges, [], []
        numbers = [self.class_of[slot_range.slots[0]] for slot_range in ranges]
        begin = end = 0
        for (slots, attended), number, following in zip(ranges, numbers, [*numbers[1:], None], strict=True):
            start, end = end, end + len(slots)
            pool, read = self.pools[number], slice(start, end)
            self._reads.append((pool, read, self._adjacent(slots) or rows[read], attended))
            if following != number:  # what ranges of one class write is written at once
                part, begin = slice(begin, end), end
                at = torch.where(is_token[part], positions[part], pool.scratch)
                self._writes.append((pool, part, rows[part, None], at))
        return self

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Write a layer's states, [rows, new, kv_heads, head_dim]; returns what each range reads, [rows, kv_heads,
        attended, head_dim]."""
        for pool, part, rows, positions in self._writes:
            pool.keys[layer][rows, :, positions] = keys[part]
            pool.values[layer][rows, :, positions] = values[part]
        return [
            (pool.keys[layer][some, :, :attended], pool.values[layer][some, :, :attended])
            if attended
            else (keys[part].transpose(1, 2), values[part].transpose(1, 2))
            for pool, part, some, attended in self._reads
        ]

    def _adjacent(self, slots: Sequence[int]) -> slice | None:
        """Rows of adjacent slots in order are read as a slice, which needs no gather."""
        first, last = self.row_of[slots[0]], self.row_of[slots[0]] + len(slots)
        return slice(first, last) if list(slots) == list(range(slots[0], slots[0] + len(slots))) else None


def group_by_length(lengths: dict[int, int]) -> list[SlotRange]:
    """Group slots that are close together and of similar length into ranges; other slots may lie within a range.

    Args:
        lengths: positions to read of each slot, in the order of slots.
    """
    found: list[SlotRange] = []
    first, last, attended, needed = -1, -1, 0, 0
    for slot, length in lengths.items():
        if attended and (slot + 1 - first) * max(attended, length) - needed - length > MAX_WASTED_READS:
            found.append(SlotRange(range(first, last + 1), attended))
            attended = needed = 0
        if not attended:
            first = slot
        last, attended, needed = slot, max(attended, length), needed + length
    return [*found, SlotRange(range(first, last + 1), attended)]
