"""The encoder's schedule: which chunks and windows of which clips are new, and in what batches they are encoded.

Convolutions are local to 1 s, attention to 8 s: chunks of 1 s, of any clips, are batched together, and so are windows
of 8 s. `model.audio_encoder` says who computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from steno.backends.qwen.model.audio_encoder import AudioEncoder
from steno.backends.qwen.model.audio_state import AudioState
from steno.backends.qwen.model.device import Scale, scale_of
from steno.backends.qwen3_asr.frontend import Frontend
from steno.backends.qwen3_asr.log_mel import CHUNK, tokens_of

MAX_CHUNKS: dict[Scale, int] = {"cuda": 128, "cpu": 1}
"""Max chunks in a batch of convolutions; bounds the memory of a call. On a CPU, large blocks are allocated and returned
to the system at each call, which may cost several times the computation: at the size of Qwen3-ASR-0.6B, int8, an
encoder of four chunks a batch takes 1.15 times as long as one of single chunks."""
MAX_WINDOWS: dict[Scale, int] = {"cuda": 32, "cpu": 8}
"""Max windows in a batch of attention; bounds the memory of a call."""

Window: TypeAlias = tuple[AudioState, int]


class Encoder:
    """Encodes audio states with `audio_encoder`, in batches.

    Args:
        model: the part of the loaded model that has `audio_tower`, for its configuration.
        frontend: of the same checkpoint.
        audio_encoder: computes; on the model's device.
    """

    def __init__(self, model: Any, frontend: Frontend, audio_encoder: AudioEncoder) -> None:
        config = model.audio_tower.config
        if 2 * config.n_window != CHUNK:
            raise ValueError(f"the encoder's chunks must have {CHUNK} mel frames, not {2 * config.n_window}")
        self.audio_encoder = audio_encoder
        self.frontend = frontend
        self._window = config.n_window_infer
        scale = scale_of(model.audio_tower.conv2d1.weight.device)
        self._max_chunks, self._max_windows = MAX_CHUNKS[scale], MAX_WINDOWS[scale]

    def new_audio_state(self) -> AudioState:
        """The state of a clip without any audio yet."""
        return AudioState(self.frontend, self._window)

    def encode(self, states: Sequence[AudioState], max_windows: int | None = None) -> None:
        """Encode the missing windows of `states`, in order, at most `max_windows` of them (None = all)."""
        missing = [(state, window) for state in states for window in state.missing_windows()]
        missing = missing[:max_windows]
        convolved = self.convolved(missing)
        missing.sort(key=lambda one: _width(*one))
        for at in range(0, len(missing), self._max_windows):
            batch = missing[at : at + self._max_windows]
            rows = self.audio_encoder.attend([convolved[one] for one in batch])
            for (state, window), row in zip(batch, rows, strict=True):
                # A copy: a view would hold the whole batch in memory for as long as the window is cached.
                state.store_window(window, row.clone())

    def convolved(self, windows: Sequence[Window]) -> dict[Window, torch.Tensor]:
        """Convolved features of each window, [tokens, d_model], with positions that restart in each chunk."""
        needed = [(state, chunk) for state, window in windows for chunk in _chunks(state, window)]
        new = [(state, chunk) for state, chunk in needed if state.convolved(chunk) is None]
        outputs: dict[tuple[AudioState, int], torch.Tensor] = {}
        for at in range(0, len(new), self._max_chunks):
            batch = new[at : at + self._max_chunks]
            mel = torch.stack([state.features(chunk * CHUNK, (chunk + 1) * CHUNK) for state, chunk in batch])
            for (state, chunk), out in zip(batch, self.audio_encoder.convolve(mel), strict=True):
                outputs[state, chunk] = out
                state.store_chunk(chunk, out)
        whole: dict[Window, torch.Tensor] = {}
        for state, window in windows:
            parts = [outputs.get((state, chunk), state.convolved(chunk)) for chunk in _chunks(state, window)]
            whole[state, window] = torch.cat([part for part in parts if part is not None])[: _width(state, window)]
        return whole


def _chunks(state: AudioState, window: int) -> range:
    start, end = state.window_span(window)
    return range(start // CHUNK, -(-end // CHUNK))


def _width(state: AudioState, window: int) -> int:
    """Tokens of a window."""
    start, end = state.window_span(window)
    return tokens_of(end - start)
