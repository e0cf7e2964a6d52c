"""Prefill, decode and verify: embeddings → tokens by greedy decoding, batched over KV cache slots.

A slot holds blocks that stay valid (the prompt's head, complete audio windows), then what each step overwrites (the
open window, the text). Blocks that the slot already holds are not computed again (prefix caching). A draft, the text
that is expected, may follow them in the same forward pass: the model returns its own choice behind each draft token,
and the longest prefix that greedy decoding would have produced is accepted (speculative decoding: Leviathan et al.
2023, arXiv:2211.17192, with a deterministic choice).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from loguru import logger

from steno.backends.drafts import Ids
from steno.backends.qwen.model.cuda.graphs import GraphedStep, Step, graphs_unsupported
from steno.backends.qwen.model.device import scale_of
from steno.backends.qwen.model.kv_cache import KVCache, SlotRange, group_by_length
from steno.backends.qwen.model.layers import Layers


class SampledToken(NamedTuple):
    """The token chosen behind one position of a slot."""

    token: int
    """The most probable token, or the one that was forced."""
    logprob: float
    """Log-probability of `token`."""
    argmax: int
    """The most probable token."""


Block: TypeAlias = Ids | torch.Tensor
"""Token ids, or embeddings of shape [tokens, hidden]."""

HEAD_ROWS = 256
"""Positions whose logits are computed at once: 150 MB with a vocabulary of 152,000 tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class PrefillRequest:
    """What a slot holds after a prefill step."""

    slot: int
    blocks: Sequence[Block]
    """The slot's contents from its start; the same blocks that it already holds are not computed again."""
    tail: Ids = ()
    """Prompt tokens behind the blocks; computed each time."""
    draft: Ids = ()
    """Text tokens that are expected to follow, to be verified."""
    forced: int = 0
    """Leading draft tokens that are chosen regardless of the logits."""
    already_sampled: Sequence[SampledToken] = ()
    """Results for leading forced tokens that are cached: no logits are computed for these."""
    needs_logits: bool = True
    """Whether tokens are sampled, behind the tail and behind each draft token; false for a partial prefill."""


class Decoder:
    """The language model of a loaded recogniser.

    Args:
        model: a `Qwen3ASRForConditionalGeneration`.
        slots: max sequences in the KV cache.
        max_length: max tokens per slot, prompt and text together.
    """

    def __init__(self, model: Any, slots: int, max_length: int) -> None:
        language_model = model.model.language_model
        self._layers = Layers(language_model)
        self._head = model.lm_head
        self._embed = language_model.embed_tokens
        weight = language_model.norm.weight
        self._device, self._dtype = weight.device, weight.dtype
        self.single_range = scale_of(weight.device) == "cuda"
        self.cache = KVCache(language_model.config, slots, max_length, weight.dtype, weight.device)
        self.decode_step: Step = self.eager_step
        self.lengths = [0] * slots
        self._blocks: list[list[Block]] = [[] for _ in range(slots)]

    def missing_tokens(self, slot: int, blocks: Sequence[Block]) -> int:
        """How many tokens of `blocks` the slot does not hold yet."""
        return sum(len(block) for block in blocks[self._shared_blocks(slot, blocks) :])

    def prefill(self, requests: Sequence[PrefillRequest]) -> list[list[SampledToken]]:
        """Returns for each request the token chosen behind the tail, and behind each draft token."""
        starts, inputs = [], []
        for one in requests:
            common = self._shared_blocks(one.slot, one.blocks)
            starts.append(sum(len(block) for block in one.blocks[:common]))
            inputs.append(self._embedded([*one.blocks[common:], one.tail + one.draft]))
            self._blocks[one.slot] = list(one.blocks[:common])
        hidden = self.forward([one.slot for one in requests], starts, inputs)
        for one in requests:
            self._blocks[one.slot] = list(one.blocks)
        rows, forced = [], []
        for row, one in enumerate(requests):
            positions = len(one.draft) + 1 - len(one.already_sampled) if one.needs_logits else 0
            rows.append(hidden[row, len(inputs[row]) - positions : len(inputs[row])])
            bound = one.draft[len(one.already_sampled) : one.forced]
            forced += [*bound, *[-1] * (positions - len(bound))]
        return [
            [*one.already_sampled, *chosen] for one, chosen in zip(requests, self._split(rows, forced), strict=True)
        ]

    def verify(self, tokens: dict[int, Ids]) -> dict[int, list[SampledToken]]:
        """Append tokens to slots; returns for each slot the token chosen behind each of them."""
        slots = sorted(tokens)
        inputs = [self._embedded([tokens[slot]]) for slot in slots]
        hidden = self.forward(slots, [self.lengths[slot] for slot in slots], inputs)
        rows = [hidden[row, : len(tokens[slot])] for row, slot in enumerate(slots)]
        return dict(zip(slots, self._split(rows, [-1] * sum(map(len, rows))), strict=True))

    def decode(self, tokens: dict[int, int]) -> dict[int, SampledToken]:
        """Append a token to each of the given slots; returns the next token of each.

        Slots between the given ones may be part of the batch, so that the cache need not be gathered; what they write
        goes to the scratch position.
        """
        ranges = self.ranges_of(tokens)
        slots = [slot for slot_range in ranges for slot in slot_range.slots]
        lengths = [self.lengths[slot] if slot in tokens else 0 for slot in slots]
        self.cache.reserve(max(lengths) + 1)
        is_active = torch.tensor([slot in tokens for slot in slots], device=self._device)
        given = self._tensor([tokens.get(slot, 0) for slot in slots])
        chosen_ids, logprobs = self.decode_step(given, self._tensor(lengths), is_active, ranges)
        for slot in tokens:
            self.lengths[slot] += 1
        chosen = dict(zip(slots, zip(chosen_ids.tolist(), logprobs.tolist(), strict=True), strict=True))
        return {slot: SampledToken(*chosen[slot], chosen[slot][0]) for slot in tokens}

    def use_graphs(self) -> None:
        """Decode with CUDA graphs from now on, or log why not. Allocates the KV cache at its full length."""
        if reason := graphs_unsupported(self._device):
            logger.warning("USE_CUDA_GRAPHS: {}; decoding without CUDA graphs", reason)
            return
        self.cache.reserve(self.cache.max_length)
        self.decode_step = GraphedStep(self.eager_step, self.cache.slots, self.cache.max_length)

    def eager_step(
        self, tokens: torch.Tensor, lengths: torch.Tensor, is_active: torch.Tensor, ranges: Sequence[SlotRange]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append a token to each row. No shape and no address depends on a value, as CUDA graphs require."""
        positions = lengths[:, None]
        cache = self.cache.prepare_write(ranges, positions, is_active[:, None])
        hidden = self._layers(self._embed(tokens[:, None]).to(self._dtype), positions, cache)
        logits = self._head(hidden[:, -1]).float()
        chosen_ids = logits.argmax(-1)
        return chosen_ids, _logprobs(logits, chosen_ids)

    def rewind(self, slot: int, tokens: int) -> None:
        """Drop the last `tokens` of a slot."""
        self.lengths[slot] -= tokens

    def reset_slot(self, slot: int) -> None:
        """Mark the slot as empty: its contents are not reused."""
        self._blocks[slot] = []
        self.lengths[slot] = 0

    def zero_slot(self, slot: int) -> None:
        """Reset the slot and zero its memory, after a failure that may have left NaN there."""
        self.reset_slot(slot)
        self.cache.zero_slot(slot)

    def _shared_blocks(self, slot: int, blocks: Sequence[Block]) -> int:
        pairs = enumerate(zip(self._blocks[slot], blocks, strict=False))
        already_sampled = min(len(self._blocks[slot]), len(blocks))
        return next((n for n, (one, other) in pairs if not _same(one, other)), already_sampled)

    def forward(self, slots: Sequence[int], starts: Sequence[int], inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Run `inputs`, [tokens, hidden] each, in slots from `starts` on. Returns [rows, positions, hidden]."""
        ends = [start + len(one) for start, one in zip(starts, inputs, strict=True)]
        self.cache.reserve(max(ends))
        padded = torch.nn.utils.rnn.pad_sequence(list(inputs), batch_first=True)
        offsets = torch.arange(padded.shape[1], device=self._device)
        positions = self._tensor(starts)[:, None] + offsets
        wanted = positions < self._tensor(ends)[:, None]
        slot_range = SlotRange(slots, max(ends) if any(starts) else 0)
        hidden = self._layers(padded, positions, self.cache.prepare_write([slot_range], positions, wanted))
        for slot, end in zip(slots, ends, strict=True):
            self.lengths[slot] = end
        return hidden

    def ranges_of(self, slots: Iterable[int]) -> list[SlotRange]:
        """The ranges that a decoding step reads. On a GPU one range from slot 0 on: there, calls dominate the cost."""
        needs = {slot: self.lengths[slot] + 1 for slot in sorted(slots)}
        return [SlotRange(range(max(needs) + 1), max(needs.values()))] if self.single_range else group_by_length(needs)

    def _embedded(self, blocks: Sequence[Block]) -> torch.Tensor:
        parts = [
            (block if isinstance(block, torch.Tensor) else self._embed(self._tensor(block))).to(self._dtype)
            for block in blocks
        ]
        return torch.cat(parts)

    def _split(self, rows: Sequence[torch.Tensor], forced: Sequence[int]) -> list[list[SampledToken]]:
        chosen = iter(self._choose(torch.cat(list(rows)), forced))
        return [[next(chosen) for _ in row] for row in rows]

    def _choose(self, hidden: torch.Tensor, forced: Sequence[int]) -> list[SampledToken]:
        """`hidden`: [positions, hidden]; `forced`: a token for each, or -1 for the most probable one."""
        choices: list[SampledToken] = []
        for at in range(0, len(hidden), HEAD_ROWS):
            logits = self._head(hidden[at : at + HEAD_ROWS]).float()
            fixed = self._tensor(forced[at : at + HEAD_ROWS])
            argmax = logits.argmax(-1)
            chosen_ids = torch.where(fixed >= 0, fixed, argmax)
            logprobs = _logprobs(logits, chosen_ids).tolist()
            choices += map(SampledToken, chosen_ids.tolist(), logprobs, argmax.tolist())
        return choices

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


def _logprobs(logits: torch.Tensor, chosen_ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of `chosen_ids`, shape [positions]. `logits`: [positions, vocabulary]."""
    return -F.cross_entropy(logits, chosen_ids, reduction="none")


def _same(one: Block, other: Block) -> bool:
    """Embeddings are compared by identity: a window that was encoded again is a new tensor."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    return one == other
