"""The memory plan: whether the weights fit into free memory, and how many KV cache slots fit beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from loguru import logger

from steno.backends.qwen.checkpoint.weights import gigabytes
from steno.backends.qwen.model.slot_classes import SlotCounts, least_long
from steno.errors import ModelLoadError

if TYPE_CHECKING:
    import torch

MARGIN = 1.1
"""Factor on the weights: room for buffers and the first request's activations."""

FOR_SLOTS = 0.7
"""Share of free memory for the KV cache; the rest is for activations."""

PROC = Path("/proc")
CGROUP = Path("/sys/fs/cgroup")


def check(model_id: str, parameters: int, element_bytes: int, device: torch.device) -> None:
    """Raises ModelLoadError where `parameters` of `element_bytes` each do not fit on `device`.

    On their way to a GPU the weights pass through host memory, so both are checked.
    """
    needed = parameters * element_bytes * MARGIN
    free_bytes = {"memory": host_free()}
    if device.type == "cuda":
        free_bytes[f"memory of {device}"] = _cuda_free(device)
    for name, free in free_bytes.items():
        if free is not None and free < needed:
            raise ModelLoadError(f"{model_id} needs {gigabytes(needed)} of {name}; {gigabytes(free)} are free")


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """How a model shares a device with another model, loaded before or after it."""

    parts: int = 1
    """Number of models among which the memory for slots is divided."""
    weight_bytes: int = 0
    """Weights of the other model, if it is already loaded."""
    slot_bytes: int = 0
    """Full-length KV cache of the other model, if it is already loaded: memory that it will still allocate."""


class SlotSizes(NamedTuple):
    """Bytes of a slot of each class at its full length."""

    short: int
    long: int


def fitting_slots(
    requested: SlotCounts,
    sizes: SlotSizes,
    weight_bytes: int,
    device: torch.device,
    budget_mb: int | None,
    share: MemoryShare = MemoryShare(),
) -> SlotCounts:
    """How many of the requested slots fit beside the weights, which have been loaded.

    Where memory is short, long slots become short ones first, up to `least_long`; then there are fewer slots.

    Args:
        budget_mb: GPU memory for all weights and slots; None = most of what is free.

    Raises:
        ModelLoadError: not even one long slot fits.
    """
    free = _cuda_free(device) if device.type == "cuda" else host_free()
    if free is None:
        return requested
    room = free * FOR_SLOTS
    if budget_mb is not None and device.type == "cuda":
        room = min(room, budget_mb * 1e6 - weight_bytes - share.weight_bytes)
    fitting = counts_in((room - share.slot_bytes) / share.parts, requested, sizes)
    if fitting.total < 1:
        budget = f"GPU_MEMORY_MB={budget_mb}" if budget_mb is not None else f"{gigabytes(free)} of free memory"
        raise ModelLoadError(
            f"{budget} is too little: beside weights of {gigabytes(weight_bytes)}, one KV cache slot needs "
            f"{gigabytes(sizes.long)}"
        )
    if fitting != requested:
        logger.info("memory for {} KV cache slots, {} of them long, not for {}, {} of them long", *fitting, *requested)
    return fitting


def counts_in(room: float, requested: SlotCounts, sizes: SlotSizes) -> SlotCounts:
    """The largest counts, up to those requested, that fit into `room` bytes."""
    short = min(sizes)
    extra = sizes.long - short

    def longest(total: int) -> int:
        """How many of `total` slots may be long; -1 if they do not even fit as short ones."""
        left = room - total * short
        if left < 0:
            return -1
        return min(requested.long, total, int(left // extra) if extra else total)

    totals = range(requested.total, 0, -1)
    total = next((n for n in totals if longest(n) >= min(least_long(n), requested.long)), 0)
    return SlotCounts(total, longest(total) if total else 0)


def host_free() -> int | None:
    """Bytes that this process can still allocate, in the machine and in its container. None = unknown."""
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
    """Free bytes of the cgroup (v2); file pages that the kernel would reclaim count as free."""
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        if limit == "max":
            return None
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return max(0, int(limit) - used + int(stat.get("inactive_file", 0)))
