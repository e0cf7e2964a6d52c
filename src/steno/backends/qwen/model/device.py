"""Where the model runs, with which numbers, and on how many threads. torch is imported when it is asked."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from loguru import logger

from steno.errors import SettingsError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
BF16_CAPABILITY = (8, 0)
"""NVIDIA's Ampere; older GPUs only emulate bfloat16."""

GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/usr/lib/wsl/lib/libcuda.so.1")
"""Of NVIDIA's and AMD's drivers, and of NVIDIA's under WSL."""

ATTENTION = "sdpa"
"""Of transformers' implementations: exact, on every device, and without a package of its own."""


Scale: TypeAlias = Literal["cuda", "cpu"]
"""How much is worth doing at once. Other devices count as a CPU until somebody has measured one."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What was chosen."""

    device: torch.device
    dtype: torch.dtype


def place(device: str = "auto", dtype: str = "auto") -> Placement:
    """Choose what is best here, or take what is asked for.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or `cuda:N`.
        dtype: `auto` (bfloat16 where the GPU has it, float16 on other GPUs, float32 on a CPU), or one of `DTYPES`.

    Raises:
        SettingsError: it is not there, or cannot be done on it.
    """
    where = _device(device)
    what = _dtype(dtype, where)
    logger.info("Qwen3-ASR runs on {} in {}", _described(where), str(what).removeprefix("torch."))
    return Placement(where, what)


def scale_of(device: torch.device) -> Scale:
    return "cuda" if device.type == "cuda" else "cpu"


def use_threads(device: torch.device) -> int:
    """On a CPU: all cores but one, which the server needs (as many threads as cores collapse when anything else runs).

    Returns the number of threads that torch had before.
    """
    import torch

    before: int = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, cores() - 1))
    return before


def cores() -> int:
    """Those that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _device(asked: str) -> torch.device:
    import torch

    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    name, _, number = asked.partition(":")
    if name not in ("cpu", "mps", "cuda") or (number and not (name == "cuda" and number.isdecimal())):
        raise SettingsError(f"DEVICE={asked!r}: must be auto, cpu, mps, cuda or cuda:N", param="DEVICE")
    if name == "cuda":
        return _cuda(int(number or 0))
    if name == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("DEVICE=mps: this is no Mac with Apple silicon; unset DEVICE", param="DEVICE")
    chosen: torch.device = torch.device(name)
    return chosen


def _cuda(number: int) -> torch.device:
    import torch

    if not torch.cuda.is_available():
        built = "torch finds no GPU" if torch.version.cuda else "this torch is built without CUDA"
        raise SettingsError(f"DEVICE=cuda: {built}; unset DEVICE to run on the CPU", param="DEVICE")
    if number >= torch.cuda.device_count():
        raise SettingsError(f"DEVICE=cuda:{number}: there are {torch.cuda.device_count()} GPUs", param="DEVICE")
    chosen: torch.device = torch.device("cuda", number)
    return chosen


def _dtype(asked: str, device: torch.device) -> torch.dtype:
    import torch

    has_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    if asked == "auto":
        asked = "float32" if device.type == "cpu" else "bfloat16" if has_bf16 else "float16"
    if asked not in DTYPES:
        raise SettingsError(f"DTYPE={asked!r}: must be auto, {', '.join(DTYPES)}", param="DTYPE")
    if asked == "bfloat16" and device.type == "cuda" and not has_bf16:
        raise SettingsError(f"DTYPE=bfloat16: {_described(device)} does not have it; use float16", param="DTYPE")
    if asked == "float16" and device.type == "cpu":
        logger.warning("DTYPE=float16 is slow on a CPU: float32 or bfloat16 do better")
    chosen: torch.dtype = getattr(torch, asked)
    return chosen


def _described(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps"
    return f"cpu ({cores()} cores)"


def has_gpu() -> bool:
    """Whether a GPU can be assumed, by its device file; torch is not asked, it takes seconds to import."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(os.path.exists(path) for path in GPU_FILES)
