"""Log-mel → audio embeddings, many windows at once, and only those that are new.

Convolutions see one second, attention eight: so seconds, of whatever clips, are rows of one batch, and windows of eight
seconds of another. (transformers' own forward walks through them one by one where flash-attn is not installed.) The
weights are those of transformers' modules, called layer by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.audio_state import CHUNK, AudioState, tokens_of
from steno.backends.qwen.model.cuda.flash_attention import VarlenAttention, varlen
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.qwen.model.frontend import Frontend

MAX_CHUNKS: dict[Scale, int] = {"cuda": 128, "cpu": 4}
MAX_WINDOWS: dict[Scale, int] = {"cuda": 32, "cpu": 8}
"""In a batch; they bound the memory of a call. A CPU takes large blocks of it anew each time, and gives them back: that
may cost several times what is computed in them. Behind the first convolution, a second is 0.4 MB with 32 channels."""

Window: TypeAlias = tuple[AudioState, int]
Attend: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Query, key, value and their scale → what they attend to, heads apart."""


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
        self._varlen = varlen(weight.device, weight.dtype)

    def sound(self) -> AudioState:
        """A clip of which nothing has been heard yet."""
        return AudioState(self._frontend, self._window)

    def encode(self, sounds: Sequence[AudioState], at_most: int | None = None) -> None:
        """Encode what the sounds lack, in their order, but no more than so many windows."""
        lacking = [(sound, window) for sound in sounds for window in sound.lacks()]
        lacking = lacking[:at_most]
        convolved = self._convolved(lacking)
        lacking.sort(key=lambda one: _width(*one))
        for at in range(0, len(lacking), self._max_windows):
            some = lacking[at : at + self._max_windows]
            rows = self._attended([convolved[one] for one in some])
            for (sound, window), row in zip(some, rows, strict=True):
                sound.keep_window(window, row)

    def _convolved(self, windows: Sequence[Window]) -> dict[Window, torch.Tensor]:
        """Of each window, [tokens, d_model], positions counted within each chunk."""
        wanted = [(sound, chunk) for sound, window in windows for chunk in _chunks(sound, window)]
        new = [(sound, chunk) for sound, chunk in wanted if sound.convolved(chunk) is None]
        made: dict[tuple[AudioState, int], torch.Tensor] = {}
        for at in range(0, len(new), self._max_chunks):
            some = new[at : at + self._max_chunks]
            mel = torch.stack([sound.features(chunk * CHUNK, (chunk + 1) * CHUNK) for sound, chunk in some])
            for (sound, chunk), out in zip(some, self._convolve(mel), strict=True):
                made[sound, chunk] = out
                sound.keep_chunk(chunk, out)
        whole: dict[Window, torch.Tensor] = {}
        for sound, window in windows:
            parts = [made.get((sound, chunk), sound.convolved(chunk)) for chunk in _chunks(sound, window)]
            whole[sound, window] = torch.cat([part for part in parts if part is not None])[: _width(sound, window)]
        return whole

    def _convolve(self, mel: torch.Tensor) -> torch.Tensor:
        """[chunks, bands, 100] → [chunks, 13, d_model]."""
        tower = self._tower
        x = mel[:, None].to(self._device, self._dtype)
        for convolution in (tower.conv2d1, tower.conv2d2, tower.conv2d3):
            x = F.gelu(convolution(x))
        rows, channels, bands, steps = x.shape
        x = tower.conv_out(x.permute(0, 3, 1, 2).reshape(rows, steps, channels * bands))
        positions: torch.Tensor = tower.positional_embedding.positional_embedding[:steps]
        return x + positions.to(x.dtype)

    def _attended(self, windows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Windows of [tokens, d_model] → their embeddings, [tokens, hidden]."""
        lengths = [len(window) for window in windows]
        if self._varlen is not None:
            packed = self._embeddings(torch.cat(list(windows)), VarlenAttention(self._varlen, lengths, self._device))
            rows = list(packed.split(lengths))
        else:
            hidden = torch.nn.utils.rnn.pad_sequence(list(windows), batch_first=True)
            rows = list(self._embeddings(hidden, PaddedAttention(lengths, hidden.shape[1], self._device)))
        # Copies: a slice would keep the whole batch in memory for as long as a stream keeps its window.
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
    """Attention within windows that are rows of a batch.

    Args:
        lengths: of the windows, in tokens.
        width: of the batch.
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


def _chunks(sound: AudioState, window: int) -> range:
    start, end = sound.span(window)
    return range(start // CHUNK, -(-end // CHUNK))


def _width(sound: AudioState, window: int) -> int:
    """Tokens of a window."""
    start, end = sound.span(window)
    return tokens_of(end - start)
