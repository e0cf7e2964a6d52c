"""A linear layer with int8 weights, one scale per output channel, and int8 activations, one scale per token.

torch's dynamic quantisation takes one scale for all tokens of a call: the loudest token of a batch decides how exactly
its neighbours are computed, so that a text would depend on who shares the batch. Here each token is divided by its own
maximum first, so that one fixed scale fits all of them. The kernel is FBGEMM's, which x86 builds of torch contain; the
one of oneDNN (`torch.ops.onednn.qlinear_pointwise`) takes 1.4 × as long for a few tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch

ENGINE = "fbgemm"
"""torch's quantised engine whose kernel takes fp32 activations with a given scale."""

WEIGHT_LEVELS = 127
SMALLEST = 1e-12
"""Lower bound of a scale: a token, or a channel, of zeros stays zero."""


def is_supported() -> bool:
    """Whether this build of torch has the kernel."""
    return ENGINE in torch.backends.quantized.supported_engines


class Int8Linear(torch.nn.Module):
    """Replaces a `torch.nn.Linear` on a CPU.

    Args:
        weight: shape [out_features, in_features].
        bias: shape [out_features]; added in fp32.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = bias
        weight = weight.detach().float()
        scales = weight_scales(weight).double()
        zeros = torch.zeros(len(weight), dtype=torch.long)
        with _engine(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch announces that its quantised tensors will go
            quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            self._packed = torch.ops.quantized.linear_prepack(quantised, None)
        self._levels = activation_levels()

    @property
    def packed_bytes(self) -> int:
        """Bytes of the packed weights, which are not a parameter."""
        return self.out_features * (self.in_features + 12)

    def forward(self, x: torch.Tensor, largest: torch.Tensor | None = None) -> torch.Tensor:
        """Returns [..., out_features].

        Args:
            x: [..., in_features], fp32.
            largest: [..., 1], the largest magnitude of each token, where the caller knows it.
        """
        scale = (x.abs().amax(-1, keepdim=True) if largest is None else largest).clamp(min=SMALLEST)
        product = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / scale, 1 / self._levels, self._levels, self._packed
        )
        return product.mul_(scale) if self.bias is None else torch.addcmul(self.bias, product, scale)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def weight_scales(weight: torch.Tensor) -> torch.Tensor:
    """What a step of each output channel is worth. `weight`: [channels, …]. Returns [channels]."""
    return (weight.abs().amax(1) / WEIGHT_LEVELS).clamp(min=SMALLEST)


def activation_levels() -> int:
    """Steps from zero to a token's maximum. Without VNNI instructions products are summed in 16 bits, which overflow
    with 8-bit activations."""
    has_vnni = cast("bool", torch.cpu._is_vnni_supported())  # torch offers no public way to ask
    return 127 if has_vnni else 63


@contextmanager
def _engine() -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = ENGINE
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
