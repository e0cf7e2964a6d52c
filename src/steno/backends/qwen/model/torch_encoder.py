"""The encoder on torch: the weights of transformers' modules, called layer by layer.

(transformers' own forward processes windows one by one where flash-attn is not installed.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.cuda.flash_attention import Varlen, VarlenAttention, varlen
from steno.backends.qwen.model.cuda.transfers import integers_to_device
from steno.backends.qwen.model.projections import merge_attention_projections

if TYPE_CHECKING:
    from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint

Attend: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Query, key, value and scale → attention output, per head."""

PACKING_DEVICES = frozenset({"cpu"})
"""Where windows are packed without flash-attn, and attention is computed a window at a time: where a call costs little.
Elsewhere the windows of a batch are padded to the longest."""


class TorchEncoder:
    """An `AudioEncoder` over the audio tower and the projector of a loaded model.

    On a CPU, and with flash-attn, the linear layers compute the tokens of all windows as one row, without padding.

    Args:
        model: the part that has `audio_tower` and `multi_modal_projector`: `model.model` of both classes.
        varlen: flash-attn's kernel, which needs no padding; None = torch's attention.
    """

    runtime = "torch"

    def __init__(self, model: Any, varlen: Varlen | None = None) -> None:
        self._tower = model.audio_tower
        self._project = model.multi_modal_projector
        self._varlen = varlen
        weight = self._tower.conv2d1.weight
        self._device, self._dtype = weight.device, weight.dtype
        for layer in self._tower.layers:
            merge_attention_projections(layer)

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """See `AudioEncoder`."""
        tower = self._tower
        x = mel[:, None].to(self._device, self._dtype)
        for convolution in (tower.conv2d1, tower.conv2d2, tower.conv2d3):
            x = F.gelu(convolution(x))
        rows, channels, bands, steps = x.shape
        x = tower.conv_out(x.permute(0, 3, 1, 2).reshape(rows, steps, channels * bands))
        positions: torch.Tensor = tower.positional_embedding.positional_embedding[:steps]
        return x + positions.to(x.dtype)

    def attend(self, windows: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        """See `AudioEncoder`."""
        lengths = [len(window) for window in windows]
        if self._varlen is not None:
            packed = self._embeddings(torch.cat(list(windows)), VarlenAttention(self._varlen, lengths, self._device))
            return packed.split(lengths)
        if self._device.type in PACKING_DEVICES:
            return self._embeddings(torch.cat(list(windows)), PackedAttention(lengths)).split(lengths)
        hidden = torch.nn.utils.rnn.pad_sequence(list(windows), batch_first=True)
        rows = self._embeddings(hidden, PaddedAttention(lengths, hidden.shape[1], self._device))
        return [row[:length] for row, length in zip(rows, lengths, strict=True)]

    def _embeddings(self, hidden: torch.Tensor, attend: Attend) -> torch.Tensor:
        """[..., d_model] → [..., hidden]"""
        for layer in self._tower.layers:
            attention = layer.self_attn
            x = layer.self_attn_layer_norm(hidden)
            heads = attention.qkv_proj(x).view(*x.shape[:-1], 3, attention.num_heads, attention.head_dim)
            query, key, value = heads.unbind(-3)
            x = attend(query, key, value, attention.scaling)
            hidden = hidden + attention.out_proj(x.reshape(hidden.shape))
            x = layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
            hidden = hidden + x
            if hidden.dtype == torch.float16:
                limit = torch.finfo(torch.float16).max - 1000
                hidden = hidden.clamp(-limit, limit)
        projected: torch.Tensor = self._project(self._tower.ln_post(hidden))
        return projected


def torch_encoder_of(loaded: LoadedCheckpoint) -> TorchEncoder:
    """The encoder of a recogniser or an aligner, with flash-attn where it can run."""
    model: Any = loaded.model.model
    weight = model.audio_tower.conv2d1.weight
    return TorchEncoder(model, varlen(weight.device, weight.dtype))


class PackedAttention:
    """Attention within windows that are packed one behind the other, a window at a time.

    Args:
        lengths: tokens of each window.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        self._lengths = list(lengths)

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """Each [tokens of all windows, heads, head_dim]; returns the same."""
        # Four dimensions: with three, torch's fused kernel is not used.
        parts = (one.transpose(0, 1)[None].split(self._lengths, dim=2) for one in (query, key, value))
        outputs = [F.scaled_dot_product_attention(q, k, v, scale=scale) for q, k, v in zip(*parts, strict=True)]
        return torch.cat(outputs, dim=2)[0].transpose(0, 1)


class PaddedAttention:
    """Attention within windows that are padded rows of a batch.

    Args:
        lengths: tokens of each window.
        width: tokens that the batch is padded to.
    """

    def __init__(self, lengths: Sequence[int], width: int, device: torch.device) -> None:
        self._mask = None
        if min(lengths) < width:
            (ends,) = integers_to_device(device, lengths)
            self._mask = (torch.arange(width, device=device) < ends[:, None])[:, None, None, :]

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """Each [windows, width, heads, head_dim]; returns the same."""
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self._mask, scale=scale)
        return out.transpose(1, 2)
