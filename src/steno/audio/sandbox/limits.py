"""What a decoder process may take of the machine. The process sets its own limits, before it sees any file.

Linux enforces all of them. macOS has no limit on memory. Windows has neither that nor the limit on CPU time: there the
time-out of the parent (`process.STALL_TIMEOUT_S`) and the request's deadline are what ends a decoder.
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
    """MiB of address space beyond what the process has when its imports are done."""
    cpu_s: int = 10
    """Seconds of CPU time that it may use without emitting any audio."""
    niceness: int = 10
    """How far behind the server the scheduler puts it, 0 to 19 (POSIX)."""


class CpuBudget:
    """Ends this process (SIGXCPU) when it uses `cpu_s` seconds of CPU time without `renew` being called."""

    def __init__(self, cpu_s: int) -> None:
        self._cpu_s = cpu_s
        self._until_s = 0
        self.renew()

    def renew(self) -> None:
        """Start over. Costs a system call or two: the kernel counts whole seconds, and nothing changes within one."""
        if sys.platform == "win32":
            return
        import resource

        usage = resource.getrusage(resource.RUSAGE_SELF)
        until_s = math.ceil(usage.ru_utime + usage.ru_stime) + self._cpu_s
        if until_s != self._until_s:
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            wanted = until_s if hard == resource.RLIM_INFINITY else min(until_s, hard)
            resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))
            self._until_s = until_s


def lower_priority(niceness: int) -> None:
    """Of this process, where the system has niceness; elsewhere the parent starts it with a lower priority class."""
    if sys.platform != "win32":
        os.nice(niceness)


def limit_memory(memory_mb: int) -> None:
    """Bound this process's address space, counted from now, and let it leave no core file. Linux only."""
    if sys.platform != "linux":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    wanted = address_space_bytes() + memory_mb * 2**20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def address_space_bytes() -> int:
    """Of this process now. Linux only."""
    return _statm(0)


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; 0 where the system is not Linux."""
    return _statm(1) if sys.platform == "linux" else 0


def _statm(field: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[field]) * mmap.PAGESIZE
