"""The feature extractor: samples → log-mel, computed only from the first frame that new audio changes.

Each clip is processed alone: in a padded batch, the features of a short clip would differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

    from steno.types import Audio

RANGE = 8.0
"""Dynamic range in powers of ten: log-mel is clamped at this much below the loudest bin of the clip."""


class Frontend:
    """Computes what the checkpoint's own feature extractor does, with its settings, on the model's device.

    The extractor itself is not called: it builds its window in torch's default dtype, which changes while another
    thread loads a model; it returns through host memory; and it starts from the beginning of the clip each time.

    Args:
        copy_to_device: copies samples to the device; None = the features are computed on the CPU.
    """

    def __init__(
        self,
        processor: Qwen3ASRProcessor,
        device: torch.device | None = None,
        copy_to_device: Callable[[Audio, torch.device], torch.Tensor] | None = None,
    ) -> None:
        own = processor.feature_extractor
        self.bands: int = own.mel_filters.shape[1]
        device = device or torch.device("cpu")
        self._device = device
        self._copy_to_device = copy_to_device or _on_cpu
        self._fft, self._hop, self._min_samples = own.n_fft, own.hop_length, own.min_length
        self._reach = own.n_fft // 2
        self._window = torch.hann_window(own.n_fft, dtype=torch.float32, device=device)
        self._filters = torch.from_numpy(own.mel_filters).to(device, torch.float32).T

    def frames(self, samples: int) -> int:
        """Mel frames of a clip. Clips under 0.5 s are padded to 0.5 s, as in training."""
        return int(max(samples, self._min_samples) // self._hop)

    def final_frames(self, samples: int) -> int:
        """Mel frames that more audio does not change: the last ones include the clip's reflected end."""
        if samples < self._reach:
            return 0
        return int(min((samples - self._reach) // self._hop + 1, self.frames(samples)))

    def log_mel(self, audio: Audio, first: int = 0) -> torch.Tensor:
        """Log-mel of `audio` from frame `first` on, before clamping, shape [bands, frames], float32."""
        count = self.frames(len(audio)) - first
        if count <= 0:
            return torch.zeros(self.bands, 0, device=self._device)
        begin = max(0, first * self._hop - self._reach)
        samples = self._copy_to_device(audio[begin:], self._device)
        samples = F.pad(samples, (0, max(0, self._min_samples - len(audio))))
        padding = (max(0, self._reach - first * self._hop), self._reach)
        samples = F.pad(samples[None, None], padding, mode="reflect")[0, 0]
        spectrum = torch.stft(samples, self._fft, self._hop, window=self._window, center=False, return_complex=True)[
            :, :count
        ]
        power = spectrum.real.square() + spectrum.imag.square()
        return (self._filters @ power).clamp(min=1e-10).log10()


def _on_cpu(audio: Audio, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)).to(device)
