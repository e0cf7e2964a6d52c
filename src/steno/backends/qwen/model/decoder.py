"""Embeddings → tokens, greedily, for many slots at once.

A row of the cache holds blocks that last (what the model is asked, windows of audio that are complete), then what each
step writes anew (the open window, the text). Blocks that already lie in the slot are not computed again. Behind them a
draft may ride along, a text that is expected: the model says of each of its tokens what it would have chosen there, all
in one pass, so that as much of it as greedy decoding would have written is as good as decoded (speculative decoding:
Leviathan et al. 2023, arXiv:2211.17192, with a deterministic choice).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from loguru import logger

from steno.backends.qwen.model.cuda.graphs import GraphedStep, Step, refusal
from steno.backends.qwen.model.device import scale_of
from steno.backends.qwen.model.kv_cache import KVCache, SlotRange, alike
from steno.backends.qwen.model.layers import Layers
from steno.backends.qwen3_asr.prompt import Ids


class SampledToken(NamedTuple):
    """What follows a position of a row."""

    token: int
    """The likeliest, or the one that was forced."""
    certainty: float
    """The logarithm of its probability."""
    likeliest: int


Block: TypeAlias = Ids | torch.Tensor
"""Token ids, or embeddings of shape [tokens, hidden]."""

HEAD_ROWS = 256
"""Positions for which the vocabulary's scores are computed at once: 150 MB of them, with 152,000 tokens."""


@dataclass(frozen=True, slots=True, eq=False)
class PrefillRequest:
    """What a slot is to hold."""

    slot: int
    blocks: Sequence[Block]
    """From its beginning; those that it already holds, the very same, stay."""
    tail: Ids = ()
    """Behind them; computed each time."""
    draft: Ids = ()
    """What is expected to follow."""
    forced: int = 0
    """So many tokens of the draft are chosen whatever the model thinks of them."""
    known: Sequence[SampledToken] = ()
    """Of the forced ones, from the first: what the model thinks of them is not asked again."""
    wants: bool = True
    """Whether what follows is to be chosen: of the tail's last token, and of each of the draft."""


class Decoder:
    """The language model of a loaded recogniser.

    Args:
        model: a `Qwen3ASRForConditionalGeneration`.
        slots: rows at once.
        limit: tokens in a row at most, prompt and text together.
    """

    def __init__(self, model: Any, slots: int, limit: int) -> None:
        language_model = model.model.language_model
        self._layers = Layers(language_model)
        self._head = model.lm_head
        self._embed = language_model.embed_tokens
        weight = self._embed.weight
        self._device, self._dtype = weight.device, weight.dtype
        self._in_one = scale_of(weight.device) == "cuda"
        self._cache = KVCache(language_model.config, slots, limit, weight.dtype, weight.device)
        self.decoding: Step = self._iteration
        self._lengths = [0] * slots
        self._blocks: list[list[Block]] = [[] for _ in range(slots)]

    def lacking(self, slot: int, blocks: Sequence[Block]) -> int:
        """Tokens of `blocks` that the slot does not hold yet."""
        return sum(len(block) for block in blocks[self._common(slot, blocks) :])

    def fill(self, fillings: Sequence[PrefillRequest]) -> list[list[SampledToken]]:
        """Returns the choices of each: of the token behind the tail, and behind each token of the draft."""
        starts, inputs = [], []
        for one in fillings:
            common = self._common(one.slot, one.blocks)
            starts.append(sum(len(block) for block in one.blocks[:common]))
            inputs.append(self._embedded([*one.blocks[common:], one.tail + one.draft]))
            self._blocks[one.slot] = list(one.blocks[:common])
        hidden = self._advance([one.slot for one in fillings], starts, inputs)
        for one in fillings:
            self._blocks[one.slot] = list(one.blocks)
        rows, forced = [], []
        for row, one in enumerate(fillings):
            wanted = len(one.draft) + 1 - len(one.known) if one.wants else 0
            rows.append(hidden[row, len(inputs[row]) - wanted : len(inputs[row])])
            bound = one.draft[len(one.known) : one.forced]
            forced += [*bound, *[-1] * (wanted - len(bound))]
        return [[*one.known, *chosen] for one, chosen in zip(fillings, self._split(rows, forced), strict=True)]

    def extend(self, tokens: dict[int, Ids]) -> dict[int, list[SampledToken]]:
        """Append tokens to slots; returns what each slot chooses behind each of them."""
        slots = sorted(tokens)
        inputs = [self._embedded([tokens[slot]]) for slot in slots]
        hidden = self._advance(slots, [self._lengths[slot] for slot in slots], inputs)
        rows = [hidden[row, : len(tokens[slot])] for row, slot in enumerate(slots)]
        return dict(zip(slots, self._split(rows, [-1] * sum(map(len, rows))), strict=True))

    def decode(self, tokens: dict[int, int]) -> dict[int, SampledToken]:
        """Append a token to each of the given slots; returns the next of each.

        Slots between them may take part, so that the cache need not be gathered; what those write that are not given is
        thrown away.
        """
        stretches = self._stretches(tokens)
        slots = [slot for stretch in stretches for slot in stretch.slots]
        lengths = [self._lengths[slot] if slot in tokens else 0 for slot in slots]
        self._cache.make_room(max(lengths) + 1)
        taking_part = torch.tensor([slot in tokens for slot in slots], device=self._device)
        given = self._tensor([tokens.get(slot, 0) for slot in slots])
        picked, certainty = self.decoding(given, self._tensor(lengths), taking_part, stretches)
        for slot in tokens:
            self._lengths[slot] += 1
        chosen = dict(zip(slots, zip(picked.tolist(), certainty.tolist(), strict=True), strict=True))
        return {slot: SampledToken(*chosen[slot], chosen[slot][0]) for slot in tokens}

    def use_graphs(self) -> None:
        """Decode with CUDA graphs from now on, or say why not. The cache takes all of its memory at once."""
        if reason := refusal(self._device):
            logger.warning("USE_CUDA_GRAPHS: {}; decoding goes on without", reason)
            return
        self._cache.make_room(self._cache.limit)
        self.decoding = GraphedStep(self._iteration, self._cache.slots, self._cache.limit)

    def _iteration(
        self, tokens: torch.Tensor, lengths: torch.Tensor, taking_part: torch.Tensor, stretches: Sequence[SlotRange]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of the cache, a token more each. No shape and no address in it depends on a value."""
        positions = lengths[:, None]
        cache = self._cache.writing(stretches, positions, taking_part[:, None])
        hidden = self._layers(self._embed(tokens[:, None]), positions, cache)
        logits = self._head(hidden[:, -1]).float()
        picked = logits.argmax(-1)
        return picked, _certainty(logits, picked)

    def rewind(self, slot: int, tokens: int) -> None:
        """Take back the last `tokens` of a slot."""
        self._lengths[slot] -= tokens

    def empty(self, slot: int) -> None:
        """Nothing that lies there is to be used again."""
        self._blocks[slot] = []
        self._lengths[slot] = 0

    def wipe(self, slot: int) -> None:
        """After a failure: whatever lies there, nobody must come upon it."""
        self.empty(slot)
        self._cache.wipe(slot)

    def _common(self, slot: int, blocks: Sequence[Block]) -> int:
        pairs = enumerate(zip(self._blocks[slot], blocks, strict=False))
        known = min(len(self._blocks[slot]), len(blocks))
        return next((n for n, (one, other) in pairs if not _same(one, other)), known)

    def _advance(self, slots: Sequence[int], starts: Sequence[int], inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Write `inputs`, [tokens, hidden] each, into slots from `starts` on. Returns [rows, positions, hidden]."""
        ends = [start + len(one) for start, one in zip(starts, inputs, strict=True)]
        self._cache.make_room(max(ends))
        padded = torch.nn.utils.rnn.pad_sequence(list(inputs), batch_first=True)
        offsets = torch.arange(padded.shape[1], device=self._device)
        positions = self._tensor(starts)[:, None] + offsets
        wanted = positions < self._tensor(ends)[:, None]
        stretch = SlotRange(slots, max(ends) if any(starts) else 0)
        hidden = self._layers(padded, positions, self._cache.writing([stretch], positions, wanted))
        for slot, end in zip(slots, ends, strict=True):
            self._lengths[slot] = end
        return hidden

    def _stretches(self, slots: Iterable[int]) -> list[SlotRange]:
        """On a GPU all rows from the first, whatever their lengths, are one: there, calls are what costs."""
        needs = {slot: self._lengths[slot] + 1 for slot in sorted(slots)}
        return [SlotRange(range(max(needs) + 1), max(needs.values()))] if self._in_one else alike(needs)

    def _embedded(self, blocks: Sequence[Block]) -> torch.Tensor:
        parts = [
            block.to(self._dtype) if isinstance(block, torch.Tensor) else self._embed(self._tensor(block))
            for block in blocks
        ]
        return torch.cat(parts)

    def _split(self, rows: Sequence[torch.Tensor], forced: Sequence[int]) -> list[list[SampledToken]]:
        chosen = iter(self._choose(torch.cat(list(rows)), forced))
        return [[next(chosen) for _ in row] for row in rows]

    def _choose(self, hidden: torch.Tensor, forced: Sequence[int]) -> list[SampledToken]:
        """`hidden`: [positions, hidden]; `forced`: a token for each, or -1 for the likeliest."""
        choices: list[SampledToken] = []
        for at in range(0, len(hidden), HEAD_ROWS):
            logits = self._head(hidden[at : at + HEAD_ROWS]).float()
            fixed = self._tensor(forced[at : at + HEAD_ROWS])
            likeliest = logits.argmax(-1)
            picked = torch.where(fixed >= 0, fixed, likeliest)
            certainty = _certainty(logits, picked).tolist()
            choices += map(SampledToken, picked.tolist(), certainty, likeliest.tolist())
        return choices

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self._device)


def _certainty(logits: torch.Tensor, picked: torch.Tensor) -> torch.Tensor:
    """The logarithms of the probabilities of `picked`, [positions]. `logits`: [positions, vocabulary]."""
    return -F.cross_entropy(logits, picked, reduction="none")


def _same(one: Block, other: Block) -> bool:
    """Embeddings are compared as objects: a window that was encoded again is another one."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return one is other
    return one == other
