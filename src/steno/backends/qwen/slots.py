"""The keys and values of all utterances that are decoded together: a row, a slot, for each.

Rows are ragged: each has its own length, and what lies behind it is never looked at, so that taking text back is only
a smaller length. transformers' decoder runs unmodified on it, with explicit positions and masks.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

GROWTH = 256
"""Positions by which the rows become longer when one is full."""


class SlotCache(Cache):
    """[slots, kv_heads, length, head_dim] of keys and of values, for each layer. Grows as it must, up to `limit`."""

    def __init__(self, config: Any, slots: int, limit: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.limit = limit
        self._kv_heads, self._head_dim = config.num_key_value_heads, config.head_dim
        self._like = {"dtype": dtype, "device": device}
        self._keys = [self._empty(0) for _ in range(config.num_hidden_layers)]
        self._values = [self._empty(0) for _ in range(config.num_hidden_layers)]
        self._rows = torch.zeros(0, dtype=torch.long)
        self._positions: torch.Tensor | None = None
        self._length = 0

    @property
    def length(self) -> int:
        """Positions that there is room for now."""
        return self._keys[0].shape[2]

    def make_room(self, length: int) -> None:
        """Raises ValueError beyond `limit`."""
        if length > self.limit:
            raise ValueError(f"{length} tokens do not fit into slots of {self.limit}")
        if length <= self.length:
            return
        more = min(-(-length // GROWTH) * GROWTH, self.limit) - self.length
        # All or nothing: where memory runs out halfway, the rows stay as long as they were.
        keys, values = (
            [torch.cat([tensor, self._empty(more)], dim=2) for tensor in pool] for pool in (self._keys, self._values)
        )
        self._keys, self._values = keys, values

    def for_prefill(self, rows: torch.Tensor) -> SlotCache:
        """The next forward fills `rows` from their beginning."""
        self._rows, self._positions = rows, None
        return self

    def for_decode(self, positions: torch.Tensor, length: int) -> SlotCache:
        """The next forward writes a token of each of the first `len(positions)` slots and looks at `length`."""
        self._positions, self._length = positions, length
        self._rows = torch.arange(len(positions), device=positions.device)
        return self

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by each layer's attention: states have the shape [rows, kv_heads, new positions, head_dim]."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        if self._positions is None:
            width = key_states.shape[2]
            keys[self._rows, :, :width] = key_states
            values[self._rows, :, :width] = value_states
            # What an earlier tenant left behind is masked, but a NaN among it would come through the mask.
            keys[self._rows, :, width:] = 0
            values[self._rows, :, width:] = 0
            return key_states, value_states
        keys[self._rows, :, self._positions] = key_states[:, :, 0]
        values[self._rows, :, self._positions] = value_states[:, :, 0]
        count = len(self._rows)
        return keys[:count, :, : self._length], values[:count, :, : self._length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not asked for where positions are given."""
        return 0

    def _empty(self, length: int) -> torch.Tensor:
        return torch.zeros(self.slots, self._kv_heads, length, self._head_dim, **self._like)
