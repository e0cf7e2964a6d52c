"""Resource limits of a decoder process. The process sets its own limits before it reads any file.

Linux enforces all of them. macOS does not enforce the memory limit. Windows enforces neither memory nor CPU time: there
the parent's timeout (`decoder_process.STALL_TIMEOUT_S`) and the request's deadline end a decoder.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """Limits of one decoder process."""

    memory_mb: int = 512
    """MiB of address space in addition to what the process has after its imports."""
    cpu_s: int = 10
    """Seconds of CPU time that it may use without emitting any audio."""
    niceness: int = 10
    """Niceness relative to the server, 0 to 19 (POSIX)."""


class CpuBudget:
    """Ends this process (SIGXCPU) if it uses `cpu_s` seconds of CPU time without a call of `renew`."""

    def __init__(self, cpu_s: int) -> None:
        self._cpu_s = cpu_s
        self._until_s = 0
        self.renew()

    def renew(self) -> None:
        """Restart the budget. Cheap: one or two system calls, because the kernel counts whole seconds."""
        if sys.platform == "win32":
            return
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        until_s = math.ceil(usage.ru_utime + usage.ru_stime) + self._cpu_s
        if until_s != self._until_s:
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            target = until_s if hard == resource.RLIM_INFINITY else min(until_s, hard)
            resource.setrlimit(resource.RLIMIT_CPU, (target, hard))
            self._until_s = until_s


def lower_priority(niceness: int) -> None:
    """Lower this process's priority by niceness; on Windows the parent starts it in a lower priority class."""
    if sys.platform != "win32":
        os.nice(niceness)


def limit_memory(memory_mb: int) -> None:
    """Limit this process's additional address space and disable core files. Linux only."""
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = address_space_bytes() + memory_mb * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = target if hard == resource.RLIM_INFINITY else min(target, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def address_space_bytes() -> int:
    """Current address space of this process. Linux only."""
    return _statm(0)


def resident_bytes() -> int:
    """Current resident memory of this process; 0 if the system is not Linux."""
    return _statm(1) if sys.platform == "linux" else 0


def _statm(field: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[field]) * mmap.PAGESIZE
