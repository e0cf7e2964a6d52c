"""Samples → log-mel, each clip by itself: padded in a batch, the features of a short clip would be others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from steno.types import SAMPLE_RATE

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
    """The checkpoint's own feature extractor, one clip at a time."""

    def __init__(self, processor: Qwen3ASRProcessor, device: torch.device) -> None:
        self._extract = processor.feature_extractor
        self._device = device

    def mel(self, audio: Audio) -> Mel:
        """`audio`: 16 kHz; clips under half a second are padded to it, as the model was trained."""
        found = self._extract(
            audio,
            sampling_rate=SAMPLE_RATE,
            padding="longest",
            return_attention_mask=True,
            device=str(self._device),
        )
        return Mel(found["input_features"][0], int(found["attention_mask"][0].sum()))


def tokens_of(frames: int) -> int:
    """Audio tokens of so many mel frames: thirteen a full chunk, and what three halvings leave of the last."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return chunks * TOKENS_PER_CHUNK + rest
