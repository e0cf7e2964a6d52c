"""Device, dtype and number of CPU threads. Importing this module does not import torch."""

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
"""CUDA compute capability of NVIDIA Ampere; older GPUs only emulate bfloat16."""

GPU_FILES = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/usr/lib/wsl/lib/libcuda.so.1")
"""Files of NVIDIA's and AMD's drivers, and of NVIDIA's under WSL."""

ATTENTION = "sdpa"
"""transformers' attention implementation: exact, on every device, without another package."""


Scale: TypeAlias = Literal["cuda", "cpu"]
"""Which batch sizes and budgets apply. Other devices use the CPU's until they have been measured."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs, and in which dtype."""

    device: torch.device
    dtype: torch.dtype


def place(device: str = "auto", dtype: str = "auto") -> Placement:
    """Choose the best device and dtype of this machine, or validate the requested ones.

    Args:
        device: `auto` (a GPU if there is one), `cpu`, `mps`, `cuda` or `cuda:N`.
        dtype: `auto` (bfloat16 where the GPU has it, float16 on other GPUs, float32 on a CPU), or one of `DTYPES`.

    Raises:
        SettingsError: the device does not exist, or does not support the dtype.
    """
    chosen_device = _device(device)
    chosen_dtype = _dtype(dtype, chosen_device)
    logger.info("Qwen3-ASR runs on {} in {}", _described(chosen_device), str(chosen_dtype).removeprefix("torch."))
    return Placement(chosen_device, chosen_dtype)


def scale_of(device: torch.device) -> Scale:
    return "cuda" if device.type == "cuda" else "cpu"


def prepare(device: torch.device) -> int:
    """Set what torch has for the whole process.

    On a CPU: all cores but one, which the server needs. With as many threads as cores, torch slows down eight times as
    soon as anything else runs, because the threads that wait for each other spin. On CUDA: no attention by cuDNN, which
    builds a plan for each new shape; and here nearly each step has one.

    Returns torch's previous number of threads.
    """
    import torch

    before: int = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(max(1, cores() - 1))
    elif device.type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)
    return before


def cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _device(requested: str) -> torch.device:
    import torch

    if requested == "auto":
        requested = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    name, _, number = requested.partition(":")
    if name not in ("cpu", "mps", "cuda") or (number and not (name == "cuda" and number.isdecimal())):
        raise SettingsError(
            f"invalid value {requested!r} for DEVICE; expected auto, cpu, mps, cuda or cuda:N", param="DEVICE"
        )
    if name == "cuda":
        return _cuda(int(number or 0))
    if name == "mps" and not torch.backends.mps.is_available():
        raise SettingsError("DEVICE=mps needs a Mac with Apple silicon; unset DEVICE", param="DEVICE")
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


def _dtype(requested: str, device: torch.device) -> torch.dtype:
    import torch

    has_bf16 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    if requested == "auto":
        requested = "float32" if device.type == "cpu" else "bfloat16" if has_bf16 else "float16"
    if requested not in DTYPES:
        raise SettingsError(f"invalid value {requested!r} for DTYPE; expected auto, {', '.join(DTYPES)}", param="DTYPE")
    if requested == "bfloat16" and device.type == "cuda" and not has_bf16:
        raise SettingsError(f"DTYPE=bfloat16: {_described(device)} does not support it; use float16", param="DTYPE")
    if requested == "float16" and device.type == "cpu":
        logger.warning("DTYPE=float16 is slow on a CPU; use float32 or bfloat16")
    chosen: torch.dtype = getattr(torch, requested)
    return chosen


def _described(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return "mps"
    return f"cpu ({cores()} cores)"


def has_gpu() -> bool:
    """Whether there seems to be a GPU, by its device file; importing torch to ask it would take seconds."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    return any(os.path.exists(path) for path in GPU_FILES)
