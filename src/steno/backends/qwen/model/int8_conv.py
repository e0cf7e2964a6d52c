"""Convolutions for CPUs, as products of patches.

`Int8Conv2d` has int8 weights, one scale for each output channel, and 8-bit activations, one range for a few rows of
an image: a chunk's values do not depend on its neighbours. Patches of the quantised pixels are multiplied by oneDNN's
kernel, which x86 builds of torch contain.

At the size of Qwen3-ASR-0.6B the encoder's second and third convolution are most of its time: 36 ms of CPU for each
second of audio in oneDNN's fp32 convolution, 13 ms here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from steno.backends.qwen.model.int8_linear import SMALLEST, activation_levels, weight_scales

MIN_CHANNELS = 16
SIGN_BIT = 128
STRIP = 4
"""Rows of the output whose pixels have one range of values. With fewer, and with a range for each patch, the weights'
error prevails; with all rows, the error is a tenth more."""


def is_supported() -> bool:
    """Whether this build of torch has the kernel."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")


def replacement_of(convolution: torch.nn.Conv2d) -> Int8Conv2d | PatchConv2d | None:
    """What computes the same faster; None for kinds that are not computed here."""
    plain = convolution.groups == 1 and convolution.padding_mode == "zeros" and convolution.dilation == (1, 1)
    if not plain or isinstance(convolution.padding, str):
        return None
    return Int8Conv2d(convolution) if convolution.in_channels >= MIN_CHANNELS else PatchConv2d(convolution)


class Int8Conv2d(torch.nn.Module):
    """Replaces a `torch.nn.Conv2d` on a CPU."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self._kernel = convolution.kernel_size
        self._stride = convolution.stride
        height, width = convolution.padding
        self._padding = (0, 0, int(width), int(width), int(height), int(height))
        self.bias = convolution.bias
        weight = convolution.weight.detach().float().permute(0, 2, 3, 1).flatten(1)
        self._scales = weight_scales(weight)
        self._zeros = torch.zeros(len(weight), dtype=torch.long)
        quantised = (weight / self._scales[:, None]).round().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(quantised, None)
        self.packed_bytes = quantised.numel() + 12 * len(weight)
        """Bytes of the packed weights, which are not a parameter."""
        self._levels = 2 * activation_levels()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, channels, height, width], fp32 → the same, channels last in memory."""
        images = F.pad(x.permute(0, 2, 3, 1), self._padding)
        rows = [torch.cat([self._convolved(strip) for strip in self._strips(image)]) for image in images]
        return torch.stack(rows).permute(0, 3, 1, 2)

    def _strips(self, image: torch.Tensor) -> Iterator[torch.Tensor]:
        """Parts of `image`, [height, width, channels], padded, each with what `STRIP` rows of the output see."""
        (kernel, _), (down, _) = self._kernel, self._stride
        rows = (len(image) - kernel) // down + 1
        for first in range(0, rows, STRIP):
            last = min(first + STRIP, rows)
            yield image[first * down : (last - 1) * down + kernel]

    def _convolved(self, strip: torch.Tensor) -> torch.Tensor:
        """[height, width, channels] → the same, convolved. With infinite or undefined values all becomes NaN."""
        low, high = (float(bound) for bound in strip.aminmax())
        low, high = min(low, 0.0), max(high, 0.0)
        scale = max((high - low) / self._levels, SMALLEST)
        is_finite = math.isfinite(scale)
        zero = round(-low / scale) if is_finite else 0
        # Quantised as signed bytes, which torch converts to ten times as fast; the sign bit makes them unsigned.
        signed = strip.mul(1 / scale).add_(zero - SIGN_BIT).round_().to(torch.int8)
        pixels = signed.view(torch.uint8) ^ SIGN_BIT
        (kernel_height, kernel_width), (down, right) = self._kernel, self._stride
        patches = pixels.unfold(0, kernel_height, down).unfold(1, kernel_width, right).permute(0, 1, 3, 4, 2)
        height, width = patches.shape[:2]
        columns: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            patches.reshape(height * width, -1), scale if is_finite else math.nan, zero, self._packed, self._scales,
            self._zeros, self.bias, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return columns.view(height, width, -1)


class PatchConv2d(torch.nn.Module):
    """Replaces a `torch.nn.Conv2d` of few channels on a CPU, in fp32, by a product of its patches. Its output has the
    channels last in memory, as `Int8Conv2d` reads them."""

    def __init__(self, convolution: torch.nn.Conv2d) -> None:
        super().__init__()
        self._kernel, self._stride = convolution.kernel_size, convolution.stride
        height, width = convolution.padding
        self._padding = (int(height), int(width))
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, channels, height, width], fp32 → the same, channels last in memory."""
        patches = F.unfold(x, self._kernel, padding=self._padding, stride=self._stride).transpose(1, 2)
        columns = F.linear(patches, self.weight.flatten(1), self.bias)
        width = (x.shape[-1] + 2 * self._padding[1] - self._kernel[1]) // self._stride[1] + 1
        return columns.unflatten(1, (-1, width)).permute(0, 3, 1, 2)
