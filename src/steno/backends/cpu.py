"""CPU cores that this process may use, and the priority of upload work below live work."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

UPLOAD_NICE = 5
"""Niceness of threads and processes for uploads: live streams get three times their CPU share. (At 10 it is nine times,
and uploads starve next to a busy process.)"""


def usable_cores() -> int:
    """Number of cores that this process may use; fewer than the machine's if it is pinned."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def half_of_cores() -> int:
    """Half of the cores that this process may use, at least one: for what runs beside recognition."""
    return max(1, usable_cores() // 2)


def yield_to_live_work() -> None:
    """Lower the calling thread's priority from the server's own; for upload threads, at their start. Only Linux has
    per-thread priorities; elsewhere uploads and live streams share the CPU evenly."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may deny it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + UPLOAD_NICE)
