"""Tells errors after which a process can never compute again from those of one piece of work."""

from __future__ import annotations

STICKY = (
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "invalid program counter",
    "invalid address space",
    "uncorrectable ECC error",
)
"""CUDA's errors after which each later call in the process fails as well (CUDA runtime API, `cudaError_t`)."""


def broken_device(error: Exception) -> str | None:
    """Why no later work can succeed in this process; None if it may, as after running out of memory.

    torch raises `AcceleratorError`, or `RuntimeError` before 2.8, with CUDA's own words.
    """
    message = str(error)
    if "CUDA error" in message and any(sticky in message for sticky in STICKY):
        return f"the device failed: {message.splitlines()[0][:200]}"
    return None
