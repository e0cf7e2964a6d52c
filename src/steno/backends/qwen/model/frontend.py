"""Samples → log-mel, as far as more audio changes it, and no further.

Each clip by itself: padded in a batch, the features of a short clip would be others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.cuda.stream import staged

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

    from steno.types import Audio

RANGE = 8.0
"""Powers of ten below the loudest bin of the clip: what is softer counts as so loud."""


class Frontend:
    """What the checkpoint's own feature extractor computes, with its settings, on the model's device.

    Not by calling it: it takes its window in torch's default dtype, which is another while a model is loaded in another
    thread, comes back through the host's memory, and begins from the start of the clip each time.
    """

    def __init__(self, processor: Qwen3ASRProcessor, device: torch.device) -> None:
        own = processor.feature_extractor
        self.bands: int = own.mel_filters.shape[1]
        self._device = device
        self._fft, self._hop, self._least = own.n_fft, own.hop_length, own.min_length
        self._reach = own.n_fft // 2
        self._window = torch.hann_window(own.n_fft, dtype=torch.float32, device=device)
        self._filters = torch.from_numpy(own.mel_filters).to(device, torch.float32).T

    def frames(self, samples: int) -> int:
        """Mel frames of a clip. Clips under half a second are padded to it, as the model was trained."""
        return int(max(samples, self._least) // self._hop)

    def final_frames(self, samples: int) -> int:
        """Those of them that stay the same however the clip goes on: the last one hears its mirrored end."""
        if samples < self._reach:
            return 0
        return int(min((samples - self._reach) // self._hop + 1, self.frames(samples)))

    def raw(self, audio: Audio, first: int = 0) -> torch.Tensor:
        """Log-mel of `audio` from the frame `first` on, not yet limited in range, shape [bands, frames], float32."""
        count = self.frames(len(audio)) - first
        if count <= 0:
            return torch.zeros(self.bands, 0, device=self._device)
        begin = max(0, first * self._hop - self._reach)
        samples = staged(audio[begin:], self._device)
        samples = F.pad(samples, (0, max(0, self._least - len(audio))))
        mirrored = (max(0, self._reach - first * self._hop), self._reach)
        samples = F.pad(samples[None, None], mirrored, mode="reflect")[0, 0]
        spectrum = torch.stft(samples, self._fft, self._hop, window=self._window, center=False, return_complex=True)[
            :, :count
        ]
        power = spectrum.real.square() + spectrum.imag.square()
        return (self._filters @ power).clamp(min=1e-10).log10()
