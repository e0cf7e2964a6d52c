"""Prefill, decode and verify: embeddings → tokens by greedy decoding, batched over KV cache slots.

A slot holds blocks that stay valid (the prompt's head, complete audio windows), then what each step overwrites (the
open window, the text). Blocks that the slot already holds are not computed again (prefix caching). A draft, the text
that is expected, may follow them in the same forward pass: the model returns its own choice behind each draft token,
and the longest prefix that greedy decoding would have produced is accepted (speculative decoding: Leviathan et al.
2023, arXiv:2211.17192, with a deterministic choice).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import torch
from loguru import logger

from steno.backends.drafts import Ids
from steno.backends.qwen.model.cuda.graphs import GraphedStep, Step, graphs_unsupported
from steno.backends.qwen.model.cuda.transfers import copy_to_host, integers_to_device
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.qwen.model.kv_cache import KVCache, SlotRange, group_by_length
from steno.backends.qwen.model.layers import Layers
from steno.backends.qwen.model.sampling import SampledToken, sample, unpacked
from steno.backends.qwen.model.slot_classes import SlotClass

Block: TypeAlias = Ids | torch.Tensor
"""Token ids, or embeddings of shape [tokens, hidden]."""

ATTENDED_STEP: dict[Scale, int] = {"cuda": 64, "cpu": 1}
"""Attention reads a multiple of this many positions. On a GPU each new shape costs the choice of a kernel."""

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
        classes: of the KV cache's slots.
    """

    def __init__(self, model: Any, classes: Sequence[SlotClass]) -> None:
        language_model = model.model.language_model
        self._layers = Layers(language_model)
        self._head = model.lm_head
        self._embed = language_model.embed_tokens
        weight = language_model.norm.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._scale = scale_of(weight.device)
        self.single_range = self._scale == "cuda"
        self.cache = KVCache(language_model.config, classes, weight.dtype, weight.device)
        self.decode_step: Step = self.eager_step
        self.lengths = [0] * len(self.cache.class_of)
        self._blocks: list[list[Block]] = [[] for _ in self.lengths]

    def missing_tokens(self, slot: int, blocks: Sequence[Block]) -> int:
        """How many tokens of `blocks` the slot does not hold yet."""
        return sum(len(block) for block in blocks[self._shared_blocks(slot, blocks) :])

    def prefill(self, requests: Sequence[PrefillRequest]) -> list[list[SampledToken]]:
        """Returns for each request the token chosen behind the tail, and behind each draft token."""
        starts: list[int] = []
        inputs: list[list[Block]] = []
        for one in requests:
            common = self._shared_blocks(one.slot, one.blocks)
            starts.append(sum(len(block) for block in one.blocks[:common]))
            inputs.append([*one.blocks[common:], one.tail + one.draft])
            self._blocks[one.slot] = list(one.blocks[:common])
        sampled_at = [len(one.draft) + 1 - len(one.already_sampled) if one.needs_logits else 0 for one in requests]
        forced: list[int] = []
        for one, positions in zip(requests, sampled_at, strict=True):
            bound = one.draft[len(one.already_sampled) : one.forced]
            forced += [*bound, *[-1] * (positions - len(bound))]
        found = self.forward([one.slot for one in requests], starts, inputs, sampled_at, forced)
        for one in requests:
            self._blocks[one.slot] = list(one.blocks)
        return [[*one.already_sampled, *chosen] for one, chosen in zip(requests, found, strict=True)]

    def verify(self, tokens: dict[int, Ids]) -> dict[int, list[SampledToken]]:
        """Append tokens to slots; returns for each slot the token chosen behind each of them."""
        slots = sorted(tokens)
        counts = [len(tokens[slot]) for slot in slots]
        starts = [self.lengths[slot] for slot in slots]
        found = self.forward(slots, starts, [[tokens[slot]] for slot in slots], counts, [-1] * sum(counts))
        return dict(zip(slots, found, strict=True))

    def decode(self, tokens: dict[int, int]) -> dict[int, SampledToken]:
        """Append a token to each of the given slots; returns the next token of each.

        Slots between the given ones may be part of the batch, so that the cache need not be gathered; what they write
        goes to the scratch position.
        """
        ranges = self.ranges_of(tokens)
        slots = [slot for slot_range in ranges for slot in slot_range.slots]
        lengths = [self.lengths[slot] if slot in tokens else 0 for slot in slots]
        for slot_range in ranges:
            self.cache.reserve(self.cache.class_of[slot_range.slots[0]], slot_range.attended)
        is_active, cache_rows = [int(slot in tokens) for slot in slots], [self.cache.row_of[slot] for slot in slots]
        rows = ([tokens.get(slot, 0) for slot in slots], lengths, is_active, cache_rows)
        (inputs,) = integers_to_device(self._device, [value for row in rows for value in row])
        sampled = unpacked(copy_to_host(self.decode_step(inputs.view(len(rows), len(slots)), ranges)))
        for slot in tokens:
            self.lengths[slot] += 1
        chosen = dict(zip(slots, sampled, strict=True))
        return {slot: chosen[slot] for slot in tokens}

    def use_graphs(self) -> None:
        """Decode with CUDA graphs from now on, or log why not. Allocates the KV cache at its full length."""
        if reason := graphs_unsupported(self._device):
            logger.warning("USE_CUDA_GRAPHS: {}; decoding without CUDA graphs", reason)
            return
        for pool in self.cache.pools:
            pool.reserve(pool.max_length)
        self.decode_step = GraphedStep(self.eager_step, self.cache.classes)

    def eager_step(self, inputs: torch.Tensor, ranges: Sequence[SlotRange]) -> torch.Tensor:
        """Append a token to each row. No shape and no address depends on a value, as CUDA graphs require."""
        tokens, lengths, is_active, rows = inputs
        positions = lengths[:, None]
        cache = self.cache.prepare_write(ranges, rows, positions, is_active[:, None] > 0)
        hidden = self._layers(self._embed(tokens[:, None]).to(self._dtype), positions, cache)
        return sample(self._head(hidden[:, -1]))

    def rewind(self, slot: int, tokens: int) -> None:
        """Drop the last `tokens` of a slot."""
        self.lengths[slot] -= tokens

    def reset_slot(self, slot: int) -> None:
        """Mark the slot as empty: its contents are not reused."""
        self._blocks[slot] = []
        self.lengths[slot] = 0

    def move_slot(self, source: int, target: int) -> None:
        """Copy a slot's contents to another slot, which may be of another class, and mark the first one as empty."""
        self.cache.copy_slot(source, target, self.lengths[source])
        self.lengths[target], self._blocks[target] = self.lengths[source], self._blocks[source]
        self.reset_slot(source)

    def zero_slot(self, slot: int) -> None:
        """Reset the slot and zero its memory, after a failure that may have left NaN there."""
        self.reset_slot(slot)
        self.cache.zero_slot(slot)

    def _shared_blocks(self, slot: int, blocks: Sequence[Block]) -> int:
        pairs = enumerate(zip(self._blocks[slot], blocks, strict=False))
        already_sampled = min(len(self._blocks[slot]), len(blocks))
        return next((n for n, (one, other) in pairs if not _same(one, other)), already_sampled)

    def forward(
        self,
        slots: Sequence[int],
        starts: Sequence[int],
        inputs: Sequence[Sequence[Block]],
        sampled_at: Sequence[int],
        forced: Sequence[int],
    ) -> list[list[SampledToken]]:
        """Run `inputs` in slots from `starts` on, and sample at each row's last positions.

        Args:
            slots: best in their order, so that those of one class are read together.
            sampled_at: at how many positions of each row.
            forced: for each of these a token, or -1.
        """
        lengths = [sum(map(len, blocks)) for blocks in inputs]
        ends = [start + length for start, length in zip(starts, lengths, strict=True)]
        ranges = self._ranges_from(slots, starts, ends)
        ids = [token for blocks in inputs for block in blocks if not isinstance(block, torch.Tensor) for token in block]
        rows = [self.cache.row_of[slot] for slot in slots]
        on_device = integers_to_device(self._device, ids, rows, starts, ends, forced)
        padded = torch.nn.utils.rnn.pad_sequence(self._embedded(inputs, on_device[0]), batch_first=True)
        positions = on_device[2][:, None] + torch.arange(padded.shape[1], device=self._device)
        is_token = positions < on_device[3][:, None]
        hidden = self._layers(padded, positions, self.cache.prepare_write(ranges, on_device[1], positions, is_token))
        for slot, end in zip(slots, ends, strict=True):
            self.lengths[slot] = end
        found = zip(hidden, lengths, sampled_at, strict=True)
        sampled = self._sampled([row[length - count : length] for row, length, count in found], on_device[4])
        return [[next(sampled) for _ in range(count)] for count in sampled_at]

    def ranges_of(self, slots: Iterable[int]) -> list[SlotRange]:
        """The ranges that a decoding step reads. On a GPU one for each class, from its first slot on: there, calls
        dominate the cost."""
        ranges: list[SlotRange] = []
        for number, some in groupby(sorted(slots), key=self.cache.class_of.__getitem__):
            needs = {slot: self._attended(number, self.lengths[slot] + 1) for slot in some}
            whole = range(self.cache.firsts[number], max(needs) + 1)
            ranges += [SlotRange(whole, max(needs.values()))] if self.single_range else group_by_length(needs)
        return ranges

    def _ranges_from(self, slots: Sequence[int], starts: Sequence[int], ends: Sequence[int]) -> list[SlotRange]:
        """The ranges that a pass reads which writes from `starts` to `ends`; their memory is allocated."""
        classes = [self.cache.class_of[slot] for slot in slots]
        ranges: list[SlotRange] = []
        for number, rows in groupby(zip(classes, slots, starts, ends, strict=True), key=itemgetter(0)):
            _, some, begins, stops = zip(*rows, strict=True)
            attended = self._attended(number, max(stops))
            self.cache.reserve(number, attended)
            ranges.append(SlotRange(some, attended if any(begins) else 0))
        return ranges

    def _attended(self, number: int, length: int) -> int:
        """Positions that attention reads for `length` of them, in slots of this class."""
        step = ATTENDED_STEP[self._scale]
        return max(length, min(-(-length // step) * step, self.cache.classes[number].length))

    def _embedded(self, inputs: Sequence[Sequence[Block]], ids: torch.Tensor) -> list[torch.Tensor]:
        """Embeddings of each row, [tokens, hidden]. `ids`: the token ids of all rows, which are looked up at once."""
        embeddings, at = self._embed(ids).to(self._dtype), 0
        rows: list[torch.Tensor] = []
        for blocks in inputs:
            parts: list[torch.Tensor] = []
            for block in blocks:
                if isinstance(block, torch.Tensor):
                    parts.append(block.to(self._dtype))
                else:
                    parts.append(embeddings[at : at + len(block)])
                    at += len(block)
            rows.append(torch.cat(parts))
        return rows

    def _sampled(self, rows: Sequence[torch.Tensor], forced: torch.Tensor) -> Iterator[SampledToken]:
        """`rows`: [positions, hidden] each; `forced`: for all positions a token, or -1."""
        if not len(forced):
            return iter(())
        hidden = torch.cat(list(rows))
        packed = [
            sample(self._head(hidden[at : at + HEAD_ROWS]), forced[at : at + HEAD_ROWS])
            for at in range(0, len(hidden), HEAD_ROWS)
        ]
        return iter(unpacked(copy_to_host(torch.cat(packed, dim=1))))


def _same(one: Block, other: Block) -> bool:
    """Embeddings are compared by identity: a window that was encoded again is a new tensor."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    return one == other
