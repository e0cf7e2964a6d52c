"""The audio encoder: log-mel → audio embeddings, batched over windows, and only for windows that are new.

Convolutions are local to 1 s, attention to 8 s: chunks of 1 s, of any clips, are batched together, and so are windows
of 8 s. (transformers' own forward processes windows one by one where flash-attn is not installed.) The weights are
those of transformers' modules, called layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.audio_state import AudioState
from steno.backends.qwen.model.cuda.flash_attention import VarlenAttention, varlen
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.qwen3_asr.frontend import Frontend
from steno.backends.qwen3_asr.log_mel import CHUNK, tokens_of

MAX_CHUNKS: dict[Scale, int] = {"cuda": 128, "cpu": 4}
"""Max chunks in a batch of convolutions; bounds the memory of a call. On a CPU, large blocks are allocated and returned
to the system at each call, which may cost several times the computation. The first convolution's output is 0.4 MB per
second of audio with 32 channels."""
MAX_WINDOWS: dict[Scale, int] = {"cuda": 32, "cpu": 8}
"""Max windows in a batch of attention; bounds the memory of a call."""

Window: TypeAlias = tuple[AudioState, int]
Attend: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Query, key, value and scale → attention output, per head."""


class Encoder:
    """The frontend, the audio tower and the projector of a loaded model.

    Args:
        model: the part that has `audio_tower` and `multi_modal_projector`: `model.model` of both classes.
        frontend: of the same checkpoint.
    """

    def __init__(self, model: Any, frontend: Frontend) -> None:
        self._tower = model.audio_tower
        self._project = model.multi_modal_projector
        self._frontend = frontend
        config = self._tower.config
        if 2 * config.n_window != CHUNK:
            raise ValueError(f"the encoder's chunks must have {CHUNK} mel frames, not {2 * config.n_window}")
        self._window = config.n_window_infer
        weight = self._tower.conv2d1.weight
        self._device, self._dtype = weight.device, weight.dtype
        scale = scale_of(weight.device)
        self._max_chunks, self._max_windows = MAX_CHUNKS[scale], MAX_WINDOWS[scale]
        self.varlen = varlen(weight.device, weight.dtype)

    def new_audio_state(self) -> AudioState:
        """The state of a clip without any audio yet."""
        return AudioState(self._frontend, self._window)

    def encode(self, states: Sequence[AudioState], max_windows: int | None = None) -> None:
        """Encode the missing windows of `states`, in order, at most `max_windows` of them (None = all)."""
        missing = [(state, window) for state in states for window in state.missing_windows()]
        missing = missing[:max_windows]
        convolved = self.convolved(missing)
        missing.sort(key=lambda one: _width(*one))
        for at in range(0, len(missing), self._max_windows):
            batch = missing[at : at + self._max_windows]
            rows = self.attend([convolved[one] for one in batch])
            for (state, window), row in zip(batch, rows, strict=True):
                state.store_window(window, row)

    def convolved(self, windows: Sequence[Window]) -> dict[Window, torch.Tensor]:
        """Convolved features of each window, [tokens, d_model], with positions that restart in each chunk."""
        needed = [(state, chunk) for state, window in windows for chunk in _chunks(state, window)]
        new = [(state, chunk) for state, chunk in needed if state.convolved(chunk) is None]
        outputs: dict[tuple[AudioState, int], torch.Tensor] = {}
        for at in range(0, len(new), self._max_chunks):
            batch = new[at : at + self._max_chunks]
            mel = torch.stack([state.features(chunk * CHUNK, (chunk + 1) * CHUNK) for state, chunk in batch])
            for (state, chunk), out in zip(batch, self.convolve(mel), strict=True):
                outputs[state, chunk] = out
                state.store_chunk(chunk, out)
        whole: dict[Window, torch.Tensor] = {}
        for state, window in windows:
            parts = [outputs.get((state, chunk), state.convolved(chunk)) for chunk in _chunks(state, window)]
            whole[state, window] = torch.cat([part for part in parts if part is not None])[: _width(state, window)]
        return whole

    def convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """[chunks, bands, 100] → [chunks, 13, d_model]."""
        tower = self._tower
        x = mel[:, None].to(self._device, self._dtype)
        for convolution in (tower.conv2d1, tower.conv2d2, tower.conv2d3):
            x = F.gelu(convolution(x))
        rows, channels, bands, steps = x.shape
        x = tower.conv_out(x.permute(0, 3, 1, 2).reshape(rows, steps, channels * bands))
        positions: torch.Tensor = tower.positional_embedding.positional_embedding[:steps]
        return x + positions.to(x.dtype)

    def attend(self, windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Convolved windows, [tokens, d_model] each → their embeddings, [tokens, hidden] each."""
        lengths = [len(window) for window in windows]
        if self.varlen is not None:
            packed = self._embeddings(torch.cat(list(windows)), VarlenAttention(self.varlen, lengths, self._device))
            rows = list(packed.split(lengths))
        else:
            hidden = torch.nn.utils.rnn.pad_sequence(list(windows), batch_first=True)
            rows = list(self._embeddings(hidden, PaddedAttention(lengths, hidden.shape[1], self._device)))
        # Copies: a view would hold the whole batch in memory for as long as the window is cached.
        return [row[:length].clone() for row, length in zip(rows, lengths, strict=True)]

    def _embeddings(self, hidden: torch.Tensor, attend: Attend) -> torch.Tensor:
        """[..., d_model] → [..., hidden]"""
        for layer in self._tower.layers:
            attention = layer.self_attn
            x = layer.self_attn_layer_norm(hidden)
            shape = (*x.shape[:-1], attention.num_heads, attention.head_dim)
            query, key, value = (
                project(x).view(shape) for project in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            x = attend(query, key, value, attention.scaling)
            hidden = hidden + attention.out_proj(x.reshape(hidden.shape))
            x = layer.fc2(layer.activation_fn(layer.fc1(layer.final_layer_norm(hidden))))
            hidden = hidden + x
            if hidden.dtype == torch.float16:
                limit = torch.finfo(torch.float16).max - 1000
                hidden = hidden.clamp(-limit, limit)
        projected: torch.Tensor = self._project(self._tower.ln_post(hidden))
        return projected


class PaddedAttention:
    """Attention within windows that are padded rows of a batch.

    Args:
        lengths: tokens of each window.
        width: tokens that the batch is padded to.
    """

    def __init__(self, lengths: Sequence[int], width: int, device: torch.device) -> None:
        self._mask = None
        if min(lengths) < width:
            ends = torch.tensor(lengths, device=device)
            self._mask = (torch.arange(width, device=device) < ends[:, None])[:, None, None, :]

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        """Each [windows, width, heads, head_dim]; returns the same."""
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=self._mask, scale=scale)
        return out.transpose(1, 2)


def _chunks(state: AudioState, window: int) -> range:
    start, end = state.window_span(window)
    return range(start // CHUNK, -(-end // CHUNK))


def _width(state: AudioState, window: int) -> int:
    """Tokens of a window."""
    start, end = state.window_span(window)
    return tokens_of(end - start)
