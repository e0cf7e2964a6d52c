"""Giving memory back: to the GPU's driver and to the operating system, which Python and torch would keep it from."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from typing import Any

from steno.backends.base import Gpu


def gpu_of(device: Any) -> Gpu | None:
    """The CUDA device that a loaded model is on; None for any other."""
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
    """Of all parameters of a torch module."""
    return sum(parameter.nbytes for parameter in model.parameters())


def give_back() -> None:
    """What nobody refers to any more, now. Slow: for unloading only, never between two requests."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)
