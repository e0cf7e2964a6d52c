"""Log-mel → audio embeddings, many windows at once.

Convolutions see one second, attention eight: so windows of eight seconds, of whatever clips, are rows of one batch.
(transformers' own forward walks through them one by one where flash-attn is not installed.) The weights are those of
transformers' modules, called layer by layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
import torch.nn.functional as F

from steno.backends.qwen.frontend import CHUNK, Mel, tokens_of

MAX_WINDOWS = 32
"""In a batch; bounds the memory of a call."""


class Encoder:
    """The audio tower and the projector of a loaded model.

    Args:
        model: the part that has `audio_tower` and `multi_modal_projector`: `model.model` of both classes.
    """

    def __init__(self, model: Any) -> None:
        self._tower = model.audio_tower
        self._project = model.multi_modal_projector
        config = self._tower.config
        if 2 * config.n_window != CHUNK:
            raise ValueError(f"the encoder's chunks must have {CHUNK} mel frames, not {2 * config.n_window}")
        self._window = config.n_window_infer
        weight = self._tower.conv2d1.weight
        self._device, self._dtype = weight.device, weight.dtype

    def encode(self, clips: Sequence[Mel]) -> list[torch.Tensor]:
        """The embeddings of each clip, shape [tokens, hidden], in the model's dtype."""
        windows: list[torch.Tensor] = []
        lengths: list[int] = []
        counts: list[int] = []
        for clip in clips:
            starts = range(0, clip.frames, self._window)
            windows += [clip.features[:, start : start + self._window] for start in starts]
            lengths += [min(clip.frames - start, self._window) for start in starts]
            counts.append(len(starts))
        order = sorted(range(len(windows)), key=lambda n: lengths[n])
        encoded: dict[int, torch.Tensor] = {}
        for at in range(0, len(order), MAX_WINDOWS):
            some = order[at : at + MAX_WINDOWS]
            rows = self._batch([windows[n] for n in some], [lengths[n] for n in some])
            encoded.update(zip(some, rows, strict=True))
        ends = list(accumulate(counts, initial=0))
        return [torch.cat([encoded[n] for n in range(start, end)]) for start, end in pairwise(ends)]

    def _batch(self, windows: Sequence[torch.Tensor], lengths: Sequence[int]) -> list[torch.Tensor]:
        """Windows of up to 800 frames → their embeddings."""
        chunks = -(-max(lengths) // CHUNK)
        mel = torch.zeros(len(windows), windows[0].shape[0], chunks * CHUNK, dtype=self._dtype, device=self._device)
        for row, window in zip(mel, windows, strict=True):
            width = min(window.shape[-1], chunks * CHUNK)
            row[:, :width] = window[:, :width]
        hidden = self._convolve(mel, chunks)
        tokens = [tokens_of(length) for length in lengths]
        heard = torch.tensor(tokens, device=self._device)[:, None] > torch.arange(hidden.shape[1], device=self._device)
        hidden = self._attend(hidden, None if bool(heard.all()) else heard[:, None, None, :])
        projected = self._project(self._tower.ln_post(hidden))
        return [row[:count] for row, count in zip(projected, tokens, strict=True)]

    def _convolve(self, mel: torch.Tensor, chunks: int) -> torch.Tensor:
        """[windows, 128, chunks · 100] → [windows, chunks · 13, d_model], positions counted within each chunk."""
        tower = self._tower
        count, bands, _ = mel.shape
        x = mel.view(count, bands, chunks, CHUNK).permute(0, 2, 1, 3).reshape(count * chunks, 1, bands, CHUNK)
        for convolution in (tower.conv2d1, tower.conv2d2, tower.conv2d3):
            x = F.gelu(convolution(x))
        rows, channels, bands, steps = x.shape
        x = tower.conv_out(x.permute(0, 3, 1, 2).reshape(rows, steps, channels * bands))
        x = x + tower.positional_embedding.positional_embedding[:steps].to(x.dtype)
        return x.reshape(count, chunks * steps, -1)

    def _attend(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        for layer in self._tower.layers:
            attention = layer.self_attn
            x = layer.self_attn_layer_norm(hidden)
            shape = (*x.shape[:2], attention.num_heads, attention.head_dim)
            query, key, value = (
                project(x).view(shape).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            x = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=attention.scaling)
            hidden = hidden + attention.out_proj(x.transpose(1, 2).reshape(hidden.shape))
            x = layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
            hidden = hidden + x
            if hidden.dtype == torch.float16:
                limit = torch.finfo(torch.float16).max - 1000
                hidden = hidden.clamp(-limit, limit)
        return hidden
