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
    free, total = torch.cuda.mem_get_info(device)
    return Gpu(
        torch.cuda.get_device_name(device),
        round(torch.cuda.memory_allocated(device) / mb, 1),
        round(torch.cuda.memory_reserved(device) / mb, 1),
        round((total - free) / mb, 1),
        round(total / mb, 1),
    )


def weight_bytes(model: Any) -> int:
    """Bytes of all weights of a torch module; those that are views of others, or shared, count once."""
    storages = {storage.data_ptr(): storage.nbytes() for storage in map(_storage, model.parameters())}
    return sum(storages.values()) + sum(getattr(module, "packed_bytes", 0) for module in model.modules())


def _storage(parameter: Any) -> Any:
    return parameter.untyped_storage()
