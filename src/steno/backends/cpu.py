"""The processors that this process may use, and how uploads leave them to live work."""

from __future__ import annotations

import os

UPLOAD_NICE = 10
"""Threads and processes that work on uploads yield the CPU to those of live streams."""


def usable_cores() -> int:
    """How many; fewer than the machine has where the process is pinned."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
