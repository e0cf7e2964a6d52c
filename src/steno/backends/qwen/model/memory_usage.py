"""GPU memory and weight memory that a loaded model uses."""

from __future__ import annotations

import sys
from typing import Any

from steno.backends.base import Gpu


def gpu_of(device: Any) -> Gpu | None:
    """Name and memory use of the CUDA device of a loaded model; None for other devices."""
    torch = sys.modules.get("torch")
    if torch is None or device.type != "cuda":
        return None
    mb = 2**20
    return Gpu(
        torch.cuda.get_device_name(device),
        round(torch.cuda.memory_allocated(device) / mb, 1),
        round(torch.cuda.memory_reserved(device) / mb, 1),
    )


def weight_bytes(model: Any) -> int:
    """Bytes of all parameters of a torch module."""
    return sum(parameter.nbytes for parameter in model.parameters())
