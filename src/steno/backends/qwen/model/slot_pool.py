"""The memory of one class of KV cache slots."""

from __future__ import annotations

from typing import Any

import torch

from steno.backends.qwen.model.slot_classes import SlotClass

GROWTH = 256
"""Positions by which all slots grow when one is full."""

SCRATCH = 1
"""Positions at the end of each slot that take the writes of padding; they are never read."""


class SlotPool:
    """For each layer, keys and values of shape [slots, kv_heads, length, head_dim]. Grows up to `max_length`."""

    def __init__(self, config: Any, slot_class: SlotClass, dtype: torch.dtype, device: torch.device) -> None:
        self.slots, self.max_length = slot_class
        self._kv_heads, self._head_dim = config.num_key_value_heads, config.head_dim
        self._like = {"dtype": dtype, "device": device}
        self.keys = [self._zeros(0) for _ in range(config.num_hidden_layers)]
        self.values = [self._zeros(0) for _ in range(config.num_hidden_layers)]
        self.scratch = 0
        """The position that takes the writes of padding."""

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
        self.scratch = self.length

    def zero(self, row: int) -> None:
        """Zero a slot. Its old contents are masked for the next request, but a NaN would pass through the mask."""
        for tensor in (*self.keys, *self.values):
            tensor[row] = 0

    def copy_from(self, other: SlotPool, source: int, row: int, length: int) -> None:
        """Copy the first `length` positions of `other`'s slot `source` into the slot `row`."""
        self.reserve(length)
        for mine, theirs in ((self.keys, other.keys), (self.values, other.values)):
            for to, of in zip(mine, theirs, strict=True):
                to[row, :, :length] = of[source, :, :length]

    def _zeros(self, length: int) -> torch.Tensor:
        return torch.zeros(self.slots, self._kv_heads, length, self._head_dim, **self._like)


def bytes_per_slot(config: Any, max_length: int, element_bytes: int) -> int:
    """Bytes of a slot at its full length. `config`: the language model's."""
    per_position = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element_bytes
    return int(per_position * (max_length + SCRATCH))
