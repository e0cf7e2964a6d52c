"""The log-mel features of one clip or live utterance, cut into the encoder's windows of 8 s.

`extend` takes the same audio again with more behind it. A frame is computed once. One thing changes computed frames:
the features' range is relative to the loudest bin of the clip, so that a louder sound raises the floor for all audio
before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from steno.backends.qwen3_asr.frontend import RANGE

if TYPE_CHECKING:
    from steno.backends.qwen3_asr.frontend import Features, Frontend
    from steno.types import Audio

CHUNK = 100
"""Mel frames that the convolutions process at once: 1 s."""

WINDOW = 800
"""Mel frames that the encoder attends over: 8 s."""

TOKENS_PER_CHUNK = 13
TOKENS_PER_S = 13


class LogMel:
    """The features of one clip.

    Args:
        window: mel frames per window.
    """

    def __init__(self, frontend: Frontend, window: int = WINDOW) -> None:
        self._frontend = frontend
        self._samples = -1
        self._log_mel = torch.zeros(frontend.bands, 0)
        self._lowest = np.zeros(0, np.float32)
        self._highest = np.zeros(0, np.float32)
        self._final_frames = 0
        self._floor = float("-inf")
        self.window = window
        """Mel frames per window."""

    @property
    def samples(self) -> int:
        """Samples of the audio so far; -1 before the first call of `extend`."""
        return self._samples

    @property
    def frames(self) -> int:
        return int(self._log_mel.shape[1])

    @property
    def windows(self) -> int:
        return -(-self.frames // self.window)

    def extend(self, audio: Audio) -> None:
        """Take `audio`, 16 kHz, all of the clip so far: it starts with the audio of the previous call."""
        extend_all([(self, audio)])

    def _append(self, samples: int, new: Features) -> None:
        """Take the features from the first frame on that was not final. `samples`: of the clip so far."""
        kept = self._final_frames
        self._log_mel = torch.cat([self._log_mel[:, :kept].to(new.log_mel.device), new.log_mel], dim=1)
        self._lowest = np.concatenate([self._lowest[:kept], new.lowest])
        self._highest = np.concatenate([self._highest[:kept], new.highest])
        self._floor = float(np.fmax.reduce(self._highest, initial=-np.inf)) - RANGE  # ignores NaN, which has no floor
        self._samples, self._final_frames = samples, self._frontend.final_frames(samples)

    def window_span(self, window: int) -> tuple[int, int]:
        """The frames of a window, [start, end)."""
        return window * self.window, min((window + 1) * self.window, self.frames)

    def features(self, start: int, end: int) -> torch.Tensor:
        """Normalised log-mel, shape [bands, end - start]; zeros behind the clip's end."""
        features = (self._log_mel[:, start:end].clamp(min=self._floor) + 4.0) / 4.0
        return F.pad(features, (0, end - start - features.shape[1]))


def extend_all(clips: Sequence[tuple[LogMel, Audio]]) -> None:
    """`LogMel.extend` for several clips of one frontend, in one batch."""
    changed = [(one, audio) for one, audio in clips if len(audio) != one._samples]
    if not changed:
        return
    found = changed[0][0]._frontend.log_mel([(audio, one._final_frames) for one, audio in changed])
    for (one, audio), new in zip(changed, found, strict=True):
        one._append(len(audio), new)


def tokens_of(frames: int) -> int:
    """Audio tokens of `frames` mel frames: 13 per full chunk; the last chunk's frames are halved three times."""
    chunks, rest = divmod(frames, CHUNK)
    for _ in range(3):
        rest = (rest + 1) // 2
    return chunks * TOKENS_PER_CHUNK + rest
