"""Embeddings → tokens, greedily, for all occupied slots at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from steno.backends.qwen.prompt import Ids
from steno.backends.qwen.slots import SlotCache

Choice: TypeAlias = tuple[int, float]
"""The likeliest token and the logarithm of its probability."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What a row begins with."""

    before: Ids
    audio: torch.Tensor
    """[tokens, hidden]"""
    after: Ids

    def __len__(self) -> int:
        return len(self.before) + len(self.audio) + len(self.after)


class Decoder:
    """The language model of a loaded recogniser, under transformers' own forward.

    Args:
        model: a `Qwen3ASRForConditionalGeneration`.
        slots: rows at once.
        limit: tokens in a row at most, prompt and text together.
    """

    def __init__(self, model: Any, slots: int, limit: int) -> None:
        self._model = model.model.language_model
        self._head = model.lm_head
        self._embed = self._model.embed_tokens
        weight = self._embed.weight
        self._device = weight.device
        self._cache = SlotCache(self._model.config, slots, limit, weight.dtype, weight.device)
        self._lengths = [0] * slots

    def prefill(self, prompts: Sequence[tuple[int, Prompt]]) -> list[Choice]:
        """Fill each slot with its prompt; returns the first token of each."""
        lengths = [len(prompt) for _, prompt in prompts]
        self._cache.make_room(max(lengths) + 1)
        embedded = [self._embedded(prompt) for _, prompt in prompts]
        inputs = torch.nn.utils.rnn.pad_sequence(embedded, batch_first=True)
        positions = torch.arange(inputs.shape[1], device=self._device).expand(inputs.shape[:2])
        slots = torch.tensor([slot for slot, _ in prompts], device=self._device)
        hidden = self._forward(inputs, None, positions, self._cache.for_prefill(slots))
        last = torch.tensor(lengths, device=self._device) - 1
        for (slot, _), length in zip(prompts, lengths, strict=True):
            self._lengths[slot] = length
        return self._choose(hidden[torch.arange(len(prompts), device=self._device), last])

    def decode(self, tokens: dict[int, int]) -> dict[int, Choice]:
        """Append a token to each of the given slots; returns the next of each.

        All slots up to the highest take part, so that the cache need not be gathered; those that are not given write
        behind their end, where nobody looks.
        """
        count = max(tokens) + 1
        lengths = self._lengths[:count]
        longest = max(lengths[slot] for slot in tokens) + 1
        self._cache.make_room(longest)
        inputs = self._embed(self._tensor([tokens.get(slot, 0) for slot in range(count)])[:, None])
        positions = self._tensor([min(length, longest - 1) for length in lengths])
        seen = torch.arange(longest, device=self._device) <= positions[:, None]
        cache = self._cache.for_decode(positions, longest)
        hidden = self._forward(inputs, seen[:, None, None, :], positions[:, None], cache)
        for slot in tokens:
            self._lengths[slot] += 1
        chosen = self._choose(hidden[:, -1])
        return {slot: chosen[slot] for slot in tokens}

    def _forward(
        self, inputs: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: SlotCache
    ) -> torch.Tensor:
        """A mask of None is causal. Returns [rows, positions, hidden]."""
        hidden: torch.Tensor = self._model(
            inputs_embeds=inputs,
            attention_mask={"full_attention": mask},
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        return hidden

    def _embedded(self, prompt: Prompt) -> torch.Tensor:
        before, after = (self._embed(self._tensor(ids)) for ids in (prompt.before, prompt.after))
        return torch.cat([before, prompt.audio.to(before.dtype), after])

    def _choose(self, hidden: torch.Tensor) -> list[Choice]:
        logits = self._head(hidden).float()
        best, tokens = logits.max(-1)
        certainty = best - logits.logsumexp(-1)
        return list(zip(tokens.tolist(), certainty.tolist(), strict=True))

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)
