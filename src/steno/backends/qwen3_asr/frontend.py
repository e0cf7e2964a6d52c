"""The feature extractor: samples → log-mel, computed only from the first frame that new audio changes.

Clips may share a batch: each is padded as if it were alone, so that its features do not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from transformers import Qwen3ASRProcessor

    from steno.types import Audio

MAX_SAMPLES = 2**23
"""Max samples of a batch on a GPU, padding included: 524 s; bounds the memory of a spectrum. On a CPU a batch gains
nothing, and each clip is computed alone."""

RANGE = 8.0
"""Dynamic range in powers of ten: log-mel is clamped at this much below the loudest bin of the clip."""


class Features(NamedTuple):
    """Features of a clip from some frame on, before clamping."""

    log_mel: torch.Tensor
    """Shape [bands, frames], float32, on the model's device."""
    lowest: npt.NDArray[np.float32]
    """Smallest value of each frame."""
    highest: npt.NDArray[np.float32]
    """Largest value of each frame."""


class Frontend:
    """Computes what the checkpoint's own feature extractor does, with its settings, on the model's device.

    The extractor itself is not called: it builds its window in torch's default dtype, which changes while another
    thread loads a model; it returns through host memory; and it starts from the beginning of the clip each time.

    Args:
        copy_to_device: copies samples to the device; None = the features are computed on the CPU.
        copy_to_host: copies a tensor from the device.
    """

    def __init__(
        self,
        processor: Qwen3ASRProcessor,
        device: torch.device | None = None,
        copy_to_device: Callable[[Audio, torch.device], torch.Tensor] | None = None,
        copy_to_host: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        own = processor.feature_extractor
        self.bands: int = own.mel_filters.shape[1]
        device = device or torch.device("cpu")
        self._device = device
        self._copy_to_device = copy_to_device or _on_cpu
        self._copy_to_host = copy_to_host or torch.Tensor.cpu
        self.max_samples = MAX_SAMPLES if device.type == "cuda" else 0
        """Max samples of a batch; a clip that is longer is computed alone."""
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

    def log_mel(self, clips: Sequence[tuple[Audio, int]]) -> list[Features]:
        """Features of each clip from a frame of it on; those of all clips are read back at once.

        Args:
            clips: audio, and the first frame that is computed.
        """
        counts = [max(self.frames(len(audio)) - first, 0) for audio, first in clips]
        order = sorted((n for n, count in enumerate(counts) if count), key=counts.__getitem__)
        computed: dict[int, torch.Tensor] = {}
        for batch in self._batches(order, counts):
            samples = np.zeros((len(batch), self._span(max(counts[n] for n in batch))), np.float32)
            for row, n in enumerate(batch):
                part = self._padded(*clips[n])[: self._span(counts[n])]
                samples[row, : len(part)] = part
            for n, features in zip(batch, self._spectrum(samples), strict=True):
                computed[n] = features[:, : counts[n]]
        empty = torch.zeros(self.bands, 0, device=self._device)
        found = [computed.get(n, empty) for n in range(len(clips))]
        extremes = torch.cat([torch.stack([one.amin(0), one.amax(0)]) for one in found], dim=1)
        lowest, highest = self._copy_to_host(extremes).numpy()
        ends = np.cumsum(counts)
        return [
            Features(one, lowest[end - count : end], highest[end - count : end])
            for one, count, end in zip(found, counts, ends, strict=True)
        ]

    def _batches(self, order: Sequence[int], counts: Sequence[int]) -> Iterator[list[int]]:
        """Clips of similar length, so that they are padded little. `order`: from the shortest to the longest."""
        batch: list[int] = []
        for n in order:
            if batch and (len(batch) + 1) * self._span(counts[n]) > self.max_samples:
                yield batch
                batch = []
            batch.append(n)
        if batch:
            yield batch

    def _span(self, frames: int) -> int:
        """Samples that `frames` adjacent frames cover."""
        return (frames - 1) * self._hop + self._fft

    def _padded(self, audio: Audio, first: int) -> Audio:
        """The samples that frames from `first` on cover; reflected at the clip's ends, as the extractor does."""
        samples = audio[max(0, first * self._hop - self._reach) :]
        samples = np.pad(samples, (0, max(0, self._min_samples - len(audio))))
        return np.pad(samples, (max(0, self._reach - first * self._hop), self._reach), mode="reflect")

    def _spectrum(self, samples: Audio) -> torch.Tensor:
        """[clips, samples] → log-mel, [clips, bands, frames], on the device."""
        spectrum = torch.stft(
            self._copy_to_device(samples, self._device),
            self._fft, self._hop, window=self._window, center=False, return_complex=True,
        )  # fmt: skip
        power = spectrum.real.square() + spectrum.imag.square()
        return (self._filters @ power).clamp(min=1e-10).log10()


def _on_cpu(audio: Audio, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(audio, dtype=np.float32)).to(device)
