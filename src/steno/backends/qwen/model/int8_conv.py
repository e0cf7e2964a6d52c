"""A 3 × 3 convolution with int8 weights and activations, one scale for each output position: the patches that a position
sees, one behind the other, are the tokens of an `Int8Linear`.

At the size of Qwen3-ASR-0.6B the encoder's second and third convolution are half of its time in int8; as products of
patches they take half as long as oneDNN's fp32 convolution, one chunk at a time, which keeps the patches in the cache.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.int8_linear import Int8Linear


def is_replaceable(convolution: torch.nn.Conv2d) -> bool:
    """Whether the convolution is one that `Int8Conv2d` computes, and has enough channels to gain by it."""
    plain = convolution.groups == 1 and convolution.padding_mode == "zeros" and convolution.dilation == (1, 1)
    return plain and convolution.in_channels >= MIN_CHANNELS and not isinstance(convolution.padding, str)


MIN_CHANNELS = 16


class Int8Conv2d(torch.nn.Module):
    """Replaces a `torch.nn.Conv2d` on a CPU."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self._kernel = convolution.kernel_size
        self._stride = convolution.stride
        height, width = convolution.padding
        self._padding = (0, 0, int(width), int(width), int(height), int(height))
        weight = convolution.weight.permute(0, 2, 3, 1).reshape(convolution.out_channels, -1)
        self.linear = Int8Linear(weight, convolution.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, channels, height, width], fp32 → the same, channels last in memory."""
        padded = F.pad(x.permute(0, 2, 3, 1), self._padding)
        return torch.stack([self._convolved(row) for row in padded]).permute(0, 3, 1, 2)

    def _convolved(self, row: torch.Tensor) -> torch.Tensor:
        """[height, width, channels], padded → [height, width, channels], convolved."""
        (kernel_height, kernel_width), (down, right) = self._kernel, self._stride
        patches = row.unfold(0, kernel_height, down).unfold(1, kernel_width, right).permute(0, 1, 3, 4, 2)
        # The largest magnitude of a patch, which overlaps others, from those of its pixels.
        pixels = torch.maximum(row.amax(-1), -row.amin(-1))
        largest = F.max_pool2d(pixels[None], self._kernel, self._stride)[0]
        columns: torch.Tensor = self.linear(patches.flatten(2), largest[..., None])
        return columns
