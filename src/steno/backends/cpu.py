"""The processors that this process may use, and how uploads leave them to live work."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

UPLOAD_NICE = 5
"""Threads and processes that work on uploads yield the CPU to those of live streams: three to one. (At 10 it is nine to
one, and uploads starve beside a busy neighbour.)"""


def usable_cores() -> int:
    """How many; fewer than the machine has where the process is pinned."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def yield_to_live_work() -> None:
    """For a thread that works on uploads, at its start. On Linux a thread has a priority of its own: it is lowered from
    the one that the server was started with. Elsewhere uploads and live streams share the CPU evenly."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + UPLOAD_NICE)
