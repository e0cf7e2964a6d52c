"""Memory of this process: RAM and GPU."""

from __future__ import annotations

import resource
import sys

import psutil
import torch

MB = 1 << 20


def resident() -> int:
    """Resident bytes."""
    return int(psutil.Process().memory_info().rss)


def peak() -> int:
    """Peak resident bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def of_model(device: torch.device) -> int:
    """Bytes in use on `device`: allocated on the GPU, or resident."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else resident()


def on_gpu(device: torch.device) -> dict[str, float]:
    """GPU memory in MB; empty without a GPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_allocated_mb": round(torch.cuda.memory_allocated(device) / MB, 1),
        "gpu_reserved_mb": round(torch.cuda.memory_reserved(device) / MB, 1),
        "gpu_peak_mb": round(torch.cuda.max_memory_allocated(device) / MB, 1),
    }
