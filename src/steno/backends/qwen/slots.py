"""The keys and values of all utterances that are decoded together: a row, a slot, for each.

Rows are ragged: each has its own length, and what lies behind it is never looked at, so that taking text back is only
a smaller length. transformers' decoder runs unmodified on it, with explicit positions and masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Cache

GROWTH = 256
"""Positions by which the rows become longer when one is full."""

SCRAP = 1
"""Positions at the end of each row that belong to nobody: what has to be written somewhere, and is not wanted."""


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
        self._scrap = 0
        self._rows: slice | torch.Tensor = slice(0, 0)
        self._at: tuple[torch.Tensor, torch.Tensor] = (torch.zeros(0), torch.zeros(0))
        self._seen: int | None = None

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

    def writing(
        self, rows: Sequence[int], positions: torch.Tensor, wanted: torch.Tensor, seen: int | None
    ) -> SlotCache:
        """The next forward writes states of `rows` at `positions`, and looks at the first `seen` of each row.

        Args:
            positions: shape [rows, new].
            wanted: likewise; where it is false there is only padding.
            seen: None = only at what it writes itself: rows that begin.
        """
        first, last = rows[0], rows[0] + len(rows)
        if list(rows) == list(range(first, last)):
            index = torch.arange(first, last, device=positions.device)
            self._rows = slice(first, last)
        else:
            index = self._rows = torch.tensor(rows, device=positions.device)
        self._at = (index[:, None], positions.masked_fill(~wanted, self._scrap))
        self._seen = seen
        return self

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by each layer's attention: states have the shape [rows, kv_heads, new, head_dim]."""
        keys, values = self._keys[layer_idx], self._values[layer_idx]
        rows, positions = self._at
        keys[rows, :, positions] = key_states.transpose(1, 2)
        values[rows, :, positions] = value_states.transpose(1, 2)
        if self._seen is None:
            return key_states, value_states
        return keys[self._rows, :, : self._seen], values[self._rows, :, : self._seen]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not asked for where positions are given."""
        return 0

    def _empty(self, length: int) -> torch.Tensor:
        return torch.zeros(self.slots, self._kv_heads, length, self._head_dim, **self._like)


def bytes_per_slot(config: Any, limit: int, element_bytes: int) -> int:
    """What a row takes when it has grown to its limit. `config`: the language model's."""
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * element_bytes * (limit + SCRAP)
