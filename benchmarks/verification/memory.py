"""What this process holds, of the machine's memory and of the GPU's."""

from __future__ import annotations

import resource
import sys

import psutil
import torch

MB = 1 << 20


def resident() -> int:
    """Bytes in the machine's memory."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """The most bytes that this process has had in the machine's memory."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def of_model(device: torch.device) -> int:
    """Bytes where a model on `device` lies: allocated on the GPU, or resident."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else resident()


def on_gpu(device: torch.device) -> dict[str, float]:
    """In MB; empty without a GPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_allocated_mb": round(torch.cuda.memory_allocated(device) / MB, 1),
        "gpu_reserved_mb": round(torch.cuda.memory_reserved(device) / MB, 1),
        "gpu_peak_mb": round(torch.cuda.max_memory_allocated(device) / MB, 1),
    }
