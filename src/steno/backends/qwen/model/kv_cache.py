"""The KV cache: keys and values of all requests that are decoded together, one slot (a row of the cache) for each.

Slots are ragged: each has its own length, and positions behind it are never attended to, so that rewinding a slot only
sets a smaller length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

GROWTH = 256
"""Positions by which all slots grow when one is full."""

SCRATCH = 1
"""Positions at the end of each slot that take the writes of padding; they are never read."""

MAX_WASTED_READS = 700
"""Padding positions, over all rows, that a CPU's attention reads in the time of one more call."""


class SlotRange(NamedTuple):
    """Slots that are read by one attention call."""

    slots: Sequence[int]
    attended: int
    """Positions of each slot that are read; 0 = only those written in this pass, because the slots start empty."""


class KVCache:
    """For each layer, keys and values of shape [slots, kv_heads, length, head_dim]. Grows up to `max_length`."""

    def __init__(self, config: Any, slots: int, max_length: int, dtype: torch.dtype, device: torch.device) -> None:
        self.slots = slots
        self.max_length = max_length
        self._kv_heads, self._head_dim = config.num_key_value_heads, config.head_dim
        self._like = {"dtype": dtype, "device": device}
        self.keys = [self._zeros(0) for _ in range(config.num_hidden_layers)]
        self.values = [self._zeros(0) for _ in range(config.num_hidden_layers)]
        self._scratch = 0
        self._write_at: tuple[torch.Tensor, torch.Tensor] = (torch.zeros(0), torch.zeros(0))
        self._reads: list[tuple[slice | torch.Tensor, int]] = []
        self.ranges: Sequence[SlotRange] = ()
        """The slots that the next forward pass reads, see `prepare_write`."""

    @property
    def length(self) -> int:
        """Positions that are allocated in every layer, without the scratch position."""
        return max(min(tensor.shape[2] for tensor in (*self.keys, *self.values)) - SCRATCH, 0)

    def reserve(self, length: int) -> None:
        """Grow every slot to `length` positions at least. Raises ValueError beyond `max_length`."""
        if length > self.max_length:
            raise ValueError(f"{length} tokens do not fit into slots of {self.max_length}")
        if length <= self.length:
            return
        new_length = min(-(-length // GROWTH) * GROWTH, self.max_length) + SCRATCH
        # Layer by layer, so that only one is held twice. Where memory runs out halfway, `length` stays as it was; some
        # longer layers do no harm.
        for pool in (self.keys, self.values):
            for layer, tensor in enumerate(pool):
                if tensor.shape[2] < new_length:
                    pool[layer] = torch.cat([tensor, self._zeros(new_length - tensor.shape[2])], dim=2)
        self._scratch = self.length

    def zero_slot(self, slot: int) -> None:
        """Zero a slot. Its old contents are masked for the next request, but a NaN would pass through the mask."""
        for tensor in (*self.keys, *self.values):
            tensor[slot] = 0

    def prepare_write(
        self, ranges: Sequence[SlotRange], slots: torch.Tensor, positions: torch.Tensor, is_token: torch.Tensor
    ) -> KVCache:
        """Prepare the next forward pass: it writes at `positions` of these rows, then reads them.

        Args:
            ranges: all rows of the batch. Either no slot starts empty, or all do, in one range.
            slots: the slots of all ranges, shape [rows], on the device.
            positions: shape [rows, new].
            is_token: shape [rows, new]; false for padding.
        """
        assert len(ranges) == 1 or all(slot_range.attended for slot_range in ranges)
        self._write_at = slots[:, None], torch.where(is_token, positions, self._scratch)
        parts = slots.split([len(slot_range.slots) for slot_range in ranges])
        self._reads = [
            (_adjacent(slot_range.slots) or part, slot_range.attended)
            for slot_range, part in zip(ranges, parts, strict=True)
        ]
        self.ranges = ranges
        return self

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Write a layer's states, [rows, new, kv_heads, head_dim]; returns what each range reads, [rows, kv_heads,
        attended, head_dim]."""
        all_keys, all_values = self.keys[layer], self.values[layer]
        rows, positions = self._write_at
        all_keys[rows, :, positions] = keys
        all_values[rows, :, positions] = values
        if not self._reads[0][1]:
            return [(keys.transpose(1, 2), values.transpose(1, 2))]
        return [(all_keys[some, :, :attended], all_values[some, :, :attended]) for some, attended in self._reads]

    def _zeros(self, length: int) -> torch.Tensor:
        return torch.zeros(self.slots, self._kv_heads, length, self._head_dim, **self._like)


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


def _adjacent(slots: Sequence[int]) -> slice | None:
    """Adjacent slots in order are read as a slice, which needs no gather."""
    first, last = slots[0], slots[0] + len(slots)
    return slice(first, last) if list(slots) == list(range(first, last)) else None


def bytes_per_slot(config: Any, max_length: int, element_bytes: int) -> int:
    """Bytes of a slot at its full length. `config`: the language model's."""
    return (
        2
        * config.num_hidden_layers
        * config.num_key_value_heads
        * config.head_dim
        * element_bytes
        * (max_length + SCRATCH)
    )
