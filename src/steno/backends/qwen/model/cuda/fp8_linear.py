"""A linear layer with float8 weights, one scale per output channel, and float8 activations, one scale per token.

NVIDIA's GPUs have the products since Ada (compute capability 8.9). Not run on a GPU yet.
"""

from __future__ import annotations

import torch

CAPABILITY = (8, 9)
DTYPE = torch.float8_e4m3fn
LARGEST = 448.0
"""Largest value of the format."""
SMALLEST = 1e-12
MULTIPLE = 16
"""The kernel's sizes are multiples of this."""


def is_divisible(linear: torch.nn.Linear) -> bool:
    """Whether the kernel takes the layer's sizes."""
    return linear.in_features % MULTIPLE == 0 and linear.out_features % MULTIPLE == 0


def fp8_unsupported(device: torch.device) -> str | None:
    """Why float8 products are not supported on `device`; None where they are."""
    if device.type != "cuda":
        return f"it needs a GPU, and this is {device.type}"
    capability = torch.cuda.get_device_capability(device)
    if capability < CAPABILITY:
        return "it needs a GPU of compute capability 8.9, and this one has {}.{}".format(*capability)
    return None


class Fp8Linear(torch.nn.Module):
    """Replaces a `torch.nn.Linear`.

    Args:
        weight: shape [out_features, in_features], both multiples of `MULTIPLE`.
        bias: shape [out_features].
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        quantised, scale = _quantised(weight.detach())
        self.weight = torch.nn.Parameter(quantised, requires_grad=False)
        self._scale = scale.T.contiguous()
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x`: [..., in_features], bfloat16; returns [..., out_features]."""
        rows, scale = _quantised(x.reshape(-1, self.in_features))
        # The kernel reads the second factor by columns, which the transpose of a row-major tensor is.
        product = torch._scaled_mm(rows, self.weight.T, scale, self._scale, out_dtype=torch.bfloat16)
        if self.bias is not None:
            product = product + self.bias
        return product.to(x.dtype).view(*x.shape[:-1], self.out_features)


def _quantised(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[rows, columns] → the same in float8, and each row's scale, shape [rows, 1], float32."""
    scale = (x.abs().amax(-1, keepdim=True).float() / LARGEST).clamp(min=SMALLEST)
    return (x.float() / scale).clamp(-LARGEST, LARGEST).to(DTYPE), scale
