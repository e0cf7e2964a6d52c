"""Samples → log-mel, each clip by itself: padded in a batch, the features of a short clip would be others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

    from steno.types import Audio

CHUNK = 100
"""Mel frames that the convolutions see at once: a second."""

TOKENS_PER_CHUNK = 13
TOKENS_PER_S = 13


@dataclass(frozen=True, slots=True, eq=False)
class Mel:
    """Log-mel features of one clip."""

    features: torch.Tensor
    """[128, frames up to a multiple of 100], float32; zeros behind the clip's end."""
    frames: int
    """Those of the clip itself."""

    @property
    def tokens(self) -> int:
        """What the encoder makes of it."""
        return tokens_of(self.frames)


class Frontend:
    """What the checkpoint's own feature extractor computes, with its settings, on the model's device.

    Not by calling it: it takes its window in torch's default dtype, which is another while a model is loaded in another
    thread, and comes back through the host's memory.
    """

    def __init__(self, processor: Qwen3ASRProcessor, device: torch.device) -> None:
        own = processor.feature_extractor
        self._device = device
        self._fft, self._hop, self._least = own.n_fft, own.hop_length, own.min_length
        self._window = torch.hann_window(own.n_fft, dtype=torch.float32, device=device)
        self._filters = torch.from_numpy(own.mel_filters).to(device, torch.float32).T

    def mel(self, audio: Audio) -> Mel:
        """`audio`: 16 kHz; clips under half a second are padded to it, as the model was trained."""
        samples = torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)).to(self._device)
        if len(samples) < self._least:
            samples = F.pad(samples, (0, self._least - len(samples)))
        spectrum = torch.stft(samples, self._fft, self._hop, window=self._window, return_complex=True)
        power = self._filters @ spectrum[:, :-1].abs() ** 2
        log = power.clamp(min=1e-10).log10()
        log = (torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0
        return Mel(F.pad(log, (0, -log.shape[1] % CHUNK)), log.shape[1])


def tokens_of(frames: int) -> int:
    """Audio tokens of so many mel frames: thirteen a full chunk, and what three halvings leave of the last."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return chunks * TOKENS_PER_CHUNK + rest
