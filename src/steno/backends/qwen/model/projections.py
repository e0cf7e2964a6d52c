"""Merges linear layers that read the same input into one: query, key and value; the MLP's gate and up projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

QKV = ("q_proj", "k_proj", "v_proj")
GATE_UP = ("gate_proj", "up_proj")


def merge_projections(layer: Any) -> None:
    """Give a `Qwen3DecoderLayer` a `self_attn.qkv_proj` and an `mlp.gate_up_proj`, where it has none yet.

    The original layers stay usable: their weights become views of the merged ones, so that no memory is used twice.
    """
    merge_attention_projections(layer)
    if not hasattr(layer.mlp, "gate_up_proj"):
        layer.mlp.gate_up_proj = _merged([getattr(layer.mlp, name) for name in GATE_UP])


def merge_attention_projections(layer: Any) -> None:
    """The same for the attention alone, of any layer with a `self_attn`, such as the audio tower's."""
    if not hasattr(layer.self_attn, "qkv_proj"):
        layer.self_attn.qkv_proj = _merged([getattr(layer.self_attn, name) for name in QKV])


def drop_originals(layer: Any) -> None:
    """Remove the layers that were merged, before the merged ones are quantised: their views would keep the weights."""
    _drop(layer.self_attn, QKV)
    if hasattr(layer, "mlp"):
        _drop(layer.mlp, GATE_UP)


def _drop(module: Any, names: Sequence[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def _merged(parts: Sequence[torch.nn.Linear]) -> torch.nn.Linear:
    if len({part.bias is None for part in parts}) > 1:
        raise ValueError("projections of which only some have a bias cannot be merged")
    merged = torch.nn.Linear(parts[0].in_features, 1, bias=parts[0].bias is not None, device="meta")
    merged.out_features = sum(part.out_features for part in parts)
    for name in ("weight", "bias"):
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            continue
        whole = torch.nn.Parameter(torch.cat(values), requires_grad=False)
        setattr(merged, name, whole)
        for value, view in zip(values, whole.split([len(value) for value in values]), strict=True):
            value.data = view
    return merged
