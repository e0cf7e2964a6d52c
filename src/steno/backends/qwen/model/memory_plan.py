"""Whether a model's weights fit into the memory that is free, before any of it is taken."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from steno.backends.qwen.checkpoint.weights import gigabytes
from steno.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

MARGIN = 1.1
"""Beside the weights: buffers, and the first request's activations."""

FOR_SLOTS = 0.7
"""Of the free memory that slots may take; the rest is for activations."""

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def check(model_id: str, parameters: int, element_bytes: int, device: torch.device) -> None:
    """Raises ModelLoadError where `parameters` of `element_bytes` each do not fit on `device`.

    They pass through the host's memory on their way to a GPU.
    """
    needed = parameters * element_bytes * MARGIN
    places = {"memory": host_free()}
    if device.type == "cuda":
        places[f"memory of {device}"] = _cuda_free(device)
    for name, free in places.items():
        if free is not None and free < needed:
            raise ModelLoadError(f"{model_id} needs {gigabytes(needed)} of {name}, {gigabytes(free)} are free")


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """What a model may take of a device on which there is, or will be, another one."""

    parts: int = 1
    """Among how many the room for slots is divided."""
    weight_bytes: int = 0
    """Of the other, already loaded …"""
    slot_bytes: int = 0
    """… and of its slots, which it will take."""


def slots(
    wanted: int,
    slot_bytes: int,
    weight_bytes: int,
    device: torch.device,
    budget_mb: int | None,
    share: MemoryShare = MemoryShare(),
) -> int:
    """How many of the `wanted` slots there is room for beside the weights, which have been loaded.

    Args:
        budget_mb: of the GPU, for all weights and slots; None = most of what is free.

    Raises:
        ModelLoadError: not for one.
    """
    free = _cuda_free(device) if device.type == "cuda" else host_free()
    if free is None:
        return wanted
    room = free * FOR_SLOTS
    if budget_mb is not None and device.type == "cuda":
        room = min(room, budget_mb * 1e6 - weight_bytes - share.weight_bytes)
    room = (room - share.slot_bytes) / share.parts
    fitting = int(room // slot_bytes)
    if fitting < 1:
        budget = f"GPU_MEMORY_MB={budget_mb}" if budget_mb is not None else f"{gigabytes(free)} of free memory"
        raise ModelLoadError(
            f"{budget}: beside weights of {gigabytes(weight_bytes)} there is no room for one utterance "
            f"({gigabytes(slot_bytes)})"
        )
    if fitting < wanted:
        logger.info("there is room for {} slots of {:.0f} MB, not for {}", fitting, slot_bytes / 1e6, wanted)
    return min(fitting, wanted)


def host_free() -> int | None:
    """Bytes that this process may still take: of the machine, and of its container. None = nobody knows."""
    known = [free for free in (_meminfo(), _cgroup()) if free is not None]
    return min(known, default=None)


def _cuda_free(device: torch.device) -> int:
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def _meminfo() -> int | None:
    try:
        lines = (PROC / "meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup() -> int | None:
    """Of version 2; file pages that the kernel would give back count as free."""
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
