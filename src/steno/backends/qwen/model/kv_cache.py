"""The keys and values of all utterances that are decoded together: a row, a slot, for each.

Rows are ragged: each has its own length, and what lies behind it is never looked at, so that taking text back is only
a smaller length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

GROWTH = 256
"""Positions by which the rows become longer when one is full."""

SCRAP = 1
"""Positions at the end of each row that belong to nobody: what has to be written somewhere, and is not wanted."""

WORTH_A_CALL = 700
"""Positions that a CPU's attention reads for nothing, over all rows, in the time of another call."""


class SlotRange(NamedTuple):
    """Rows that are attended to in one call."""

    slots: Sequence[int]
    seen: int
    """Positions of each that are looked at; 0 = only what is new in them: they begin."""


class KVCache:
    """[slots, kv_heads, length, head_dim] of keys and of values, for each layer. Grows as it must, up to `limit`."""

    def __init__(self, config: Any, slots: int, limit: int, dtype: torch.dtype, device: torch.device) -> None:
        self.slots = slots
        self.limit = limit
        self._kv_heads, self._head_dim = config.num_key_value_heads, config.head_dim
        self._like = {"dtype": dtype, "device": device}
        self._keys = [self._empty(0) for _ in range(config.num_hidden_layers)]
        self._values = [self._empty(0) for _ in range(config.num_hidden_layers)]
        self._scrap = 0
        self._at: tuple[torch.Tensor, torch.Tensor] = (torch.zeros(0), torch.zeros(0))
        self._reads: list[tuple[slice | torch.Tensor, int]] = []
        self.stretches: Sequence[SlotRange] = ()
        """Of the next forward, see `writing`."""

    @property
    def length(self) -> int:
        """Positions that there is room for now, in every layer."""
        return max(min(tensor.shape[2] for tensor in (*self._keys, *self._values)) - SCRAP, 0)

    def make_room(self, length: int) -> None:
        """Raises ValueError beyond `limit`."""
        if length > self.limit:
            raise ValueError(f"{length} tokens do not fit into slots of {self.limit}")
        if length <= self.length:
            return
        wanted = min(-(-length // GROWTH) * GROWTH, self.limit) + SCRAP
        # Layer by layer, so that only one is there twice. Where memory runs out halfway, the rows stay as they were:
        # that some layers are longer does no harm.
        for pool in (self._keys, self._values):
            for layer, tensor in enumerate(pool):
                if tensor.shape[2] < wanted:
                    pool[layer] = torch.cat([tensor, self._empty(wanted - tensor.shape[2])], dim=2)
        self._scrap = self.length

    def wipe(self, slot: int) -> None:
        """Forget what lies in a slot: it is masked for the next tenant, but a NaN among it would come through."""
        for tensor in (*self._keys, *self._values):
            tensor[slot] = 0

    def writing(self, stretches: Sequence[SlotRange], positions: torch.Tensor, wanted: torch.Tensor) -> KVCache:
        """The next forward writes states at `positions` of these rows, and then looks at them.

        Args:
            stretches: all rows of the batch; none of them begins, or all do, in one stretch.
            positions: shape [rows, new].
            wanted: likewise; where it is false there is only padding.
        """
        assert len(stretches) == 1 or all(stretch.seen for stretch in stretches)
        rows = [_rows(stretch.slots, positions.device) for stretch in stretches]
        self._at = (torch.cat([written for written, _ in rows])[:, None], positions.masked_fill(~wanted, self._scrap))
        self._reads = [(read, stretch.seen) for (_, read), stretch in zip(rows, stretches, strict=True)]
        self.stretches = stretches
        return self

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """What a layer writes, [rows, new, kv_heads, head_dim] → what each stretch looks at, [rows, kv_heads, seen,
        head_dim]."""
        all_keys, all_values = self._keys[layer], self._values[layer]
        rows, positions = self._at
        all_keys[rows, :, positions] = keys
        all_values[rows, :, positions] = values
        if not self._reads[0][1]:
            return [(keys.transpose(1, 2), values.transpose(1, 2))]
        return [(all_keys[some, :, :seen], all_values[some, :, :seen]) for some, seen in self._reads]

    def _empty(self, length: int) -> torch.Tensor:
        return torch.zeros(self.slots, self._kv_heads, length, self._head_dim, **self._like)


def alike(needs: dict[int, int]) -> list[SlotRange]:
    """Slots in order, and the positions of each that have to be looked at → those that are near each other and of like
    lengths. Others may lie among them."""
    found: list[SlotRange] = []
    first, last, seen, needed = -1, -1, 0, 0
    for slot, length in needs.items():
        if seen and (slot + 1 - first) * max(seen, length) - needed - length > WORTH_A_CALL:
            found.append(SlotRange(range(first, last + 1), seen))
            seen = needed = 0
        if not seen:
            first = slot
        last, seen, needed = slot, max(seen, length), needed + length
    return [*found, SlotRange(range(first, last + 1), seen)]


def _rows(slots: Sequence[int], device: torch.device) -> tuple[torch.Tensor, slice | torch.Tensor]:
    """How they are written, and read: those that are next to each other, in order, need not be gathered."""
    first, last = slots[0], slots[0] + len(slots)
    if list(slots) == list(range(first, last)):
        return torch.arange(first, last, device=device), slice(first, last)
    rows = torch.tensor(slots, device=device)
    return rows, rows


def bytes_per_slot(config: Any, limit: int, element_bytes: int) -> int:
    """What a row takes when it has grown to its limit. `config`: the language model's."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element_bytes * (limit + SCRAP)
