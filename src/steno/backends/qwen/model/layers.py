"""The transformer layers of the language model over the slotted KV cache, with the weights of transformers' modules.

transformers' own forward supports every model and execution mode: in a small step, most of its time is Python and small
kernels, and under a mask it copies keys and values for each group of heads. The result is the same, in fp32 up to the
order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.kv_cache import KVCache
from steno.backends.qwen.model.projections import merge_projections

Module: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class Layers:
    """All layers, and the final norm.

    Args:
        model: a `Qwen3Model`. Its linear layers may be quantised. Those that share an input are merged, in place.

    Raises:
        ValueError: a layer's attention, or the rotary positions, are of a kind that cannot be batched over slots.
    """

    def __init__(self, model: Any) -> None:
        kinds = set(model.config.layer_types) - {"full_attention"}
        if kinds:
            raise ValueError(f"the language model's attention must be full in every layer, not {', '.join(kinds)}")
        rope = model.rotary_emb.rope_type
        if rope in ("dynamic", "longrope"):
            raise ValueError(f"{rope} rotary positions change with the longest row of a batch, for all of its rows")
        self._layers = [_Layer(layer) for layer in model.layers]
        self._norm = _Norm(model.norm)
        self._rotary = model.rotary_emb
        self._groups: int = model.config.num_attention_heads // model.config.num_key_value_heads

    def __call__(self, hidden: torch.Tensor, positions: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """Embeddings [rows, new, hidden] → final hidden states of the same shape.

        Args:
            positions: [rows, new]; each attends to those up to itself.
            cache: see `KVCache.prepare_write`.
        """
        cos, sin = (one[:, :, None] for one in self._rotary(hidden, positions))
        low, high = sin.chunk(2, dim=-1)
        rotary = cos, torch.cat([-low, high], dim=-1)
        each = positions.split([len(slot_range.slots) for slot_range in cache.ranges])
        biases = [
            self._bias(part, slot_range.attended, hidden.dtype) if slot_range.attended else None
            for part, slot_range in zip(each, cache.ranges, strict=True)
        ]
        for number, layer in enumerate(self._layers):
            hidden = layer(hidden, rotary, biases, number, cache)
        return self._norm(hidden)

    def _bias(self, positions: torch.Tensor, attended: int, dtype: torch.dtype) -> torch.Tensor:
        """[rows, new] → [rows, 1, groups * new, seen], for `_attend`."""
        is_masked = torch.arange(attended, device=positions.device) > positions[:, :, None]
        bias = torch.zeros(is_masked.shape, dtype=dtype, device=positions.device)
        return bias.masked_fill_(is_masked, float("-inf"))[:, None].repeat(1, 1, self._groups, 1)


class _Layer:
    """One decoder layer: attention and MLP.

    Args:
        layer: a `Qwen3DecoderLayer`.
    """

    def __init__(self, layer: Any) -> None:
        merge_projections(layer)
        attention, mlp = layer.self_attn, layer.mlp
        self._qkv, self._out = attention.qkv_proj, attention.o_proj
        self._head_dim, self._scale = attention.head_dim, attention.scaling
        kv_heads = attention.config.num_key_value_heads
        self._heads = [attention.config.num_attention_heads, kv_heads, kv_heads]
        self._query_norm, self._key_norm = _Norm(attention.q_norm), _Norm(attention.k_norm)
        self._before, self._between = _Norm(layer.input_layernorm), _Norm(layer.post_attention_layernorm)
        self._gate_up, self._down = mlp.gate_up_proj, mlp.down_proj
        self._activation: Module = mlp.act_fn

    def __call__(
        self,
        hidden: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        biases: Sequence[torch.Tensor | None],
        number: int,
        cache: KVCache,
    ) -> torch.Tensor:
        rows = hidden.shape[:2]
        heads = self._qkv(self._before(hidden)).view(*rows, -1, self._head_dim)
        query, key, value = heads.split(self._heads, dim=2)
        query = _rotated(self._query_norm(query), rotary).transpose(1, 2)
        attended = cache.update(_rotated(self._key_norm(key), rotary), value, number)
        parts = zip(query.split([len(keys) for keys, _ in attended]), attended, biases, strict=True)
        outputs = [_attend(part, *both, bias, self._scale) for part, both, bias in parts]
        whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        hidden = hidden + self._out(whole.transpose(1, 2).reshape(*rows, -1))
        gate, up = self._gate_up(self._between(hidden)).chunk(2, dim=-1)
        return hidden + self._down(self._activation(gate) * up)


class _Norm:
    """A `Qwen3RMSNorm`: in fp32 whatever the input is, but for the weight, which is applied to the rounded result."""

    def __init__(self, norm: Any) -> None:
        self._weight: torch.Tensor = norm.weight
        self._eps: float = norm.variance_epsilon
        self._is_fp32 = self._weight.dtype == torch.float32

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self._is_fp32:
            return F.rms_norm(x, self._weight.shape, self._weight, self._eps)
        return self._weight * F.rms_norm(x, self._weight.shape, eps=self._eps)


def _rotated(x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Rotary positions. `x`: [rows, new, heads, head_dim]; `rotary`: cosine, and sine with each half's sign."""
    cos, sin = rotary
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


def _attend(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None, scale: float
) -> torch.Tensor:
    """`query`: [rows, heads, new, head_dim]; returns the same. Without a bias attention is causal.

    Heads of a group share keys and values (GQA): under a bias they become queries of one head, which copies nothing.
    """
    if bias is None:
        return F.scaled_dot_product_attention(query, keys, values, is_causal=True, scale=scale, enable_gqa=True)
    grouped = query.reshape(len(query), keys.shape[1], -1, query.shape[-1])
    return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=bias, scale=scale).reshape(query.shape)
