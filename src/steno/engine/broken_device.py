"""Tells errors after which a process can never compute again from those of one piece of work."""

from __future__ import annotations

STICKY_MESSAGES = ("CUDA error:", "CUBLAS_STATUS_EXECUTION_FAILED", "CUDNN_STATUS_EXECUTION_FAILED")
"""What torch's messages contain when the CUDA context is broken: each later call in the process fails as well."""


def broken_device(error: Exception) -> str | None:
    """Why no later work can succeed in this process; None if it may.

    torch raises `AcceleratorError`, or `RuntimeError` before 2.8. Running out of memory breaks nothing.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in names:
        return None
    message = str(error)
    if "AcceleratorError" in names or any(sticky in message for sticky in STICKY_MESSAGES):
        return f"the device failed: {message.splitlines()[0][:200] if message else type(error).__name__}"
    return None
