"""Binds this process to a NUMA node (Linux): it runs on the node's CPUs, and its memory comes from the node while there
is some. Threads and child processes that are started later inherit both.

Node and CPU lists: Linux, Documentation/ABI/stable/sysfs-devices-node. The memory policy is set with the system call,
because the C library has no wrapper and libnuma is missing in most images.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

from steno.errors import SettingsError

NODES = Path("/sys/devices/system/node")
SET_MEMPOLICY = {"x86_64": 238, "aarch64": 237}
"""Numbers of the system call set_mempolicy(2), by machine: Linux, arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h."""
MPOL_PREFERRED = 1
"""Linux, include/uapi/linux/mempolicy.h. A full node is no failure, as it is with MPOL_BIND: other nodes help out."""
MAX_NODES = 1024


def nodes_of_machine(nodes: Path = NODES) -> dict[int, frozenset[int]]:
    """CPUs by NUMA node; empty if the system reports no nodes.

    Args:
        nodes: folder with `node0`, `node1`, …, each with a `cpulist`.
    """
    found = {}
    for folder in nodes.glob("node[0-9]*"):
        number = folder.name.removeprefix("node")
        if number.isdecimal():
            found[int(number)] = parse_cpu_list(_text_of(folder / "cpulist"))
    return dict(sorted(found.items()))


def parse_cpu_list(text: str) -> frozenset[int]:
    """The CPUs of a list such as `0-3,8,10-11`; an empty one has none."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first:
            cpus.update(range(int(first), int(last or first) + 1))
    return frozenset(cpus)


def usable_cpus(node: int, nodes: Path = NODES) -> frozenset[int]:
    """The node's CPUs that this process may use.

    Raises:
        SettingsError: there is no such node, or none of its CPUs may be used; or the system is not Linux.
    """
    if sys.platform != "linux":
        raise _invalid(node, f"supported on Linux only, not on {sys.platform}; unset it")
    found = nodes_of_machine(nodes)
    if not found:
        raise _invalid(node, "this system reports no NUMA nodes; unset it")
    if node not in found:
        raise _invalid(node, f"no such NUMA node; this machine has {', '.join(map(str, found))}")
    cpus = found[node] & os.sched_getaffinity(0)
    if not cpus:
        raise _invalid(node, "this process may use none of the node's CPUs (taskset, cpuset); choose another node")
    return cpus


def bind_to_node(node: int, nodes: Path = NODES) -> None:
    """Bind the calling thread, and all that it starts later. Call it before any library starts threads.

    Raises:
        SettingsError: as `usable_cpus`, or the system refuses the memory policy.
    """
    cpus = usable_cpus(node, nodes)
    _prefer_memory_of(node)
    os.sched_setaffinity(0, cpus)


def _prefer_memory_of(node: int) -> None:
    number = SET_MEMPOLICY.get(platform.machine())
    if number is None:
        raise _invalid(node, f"memory policies are not supported on {platform.machine()}; start steno with numactl")
    word_bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    mask = (ctypes.c_ulong * (MAX_NODES // word_bits))()
    mask[node // word_bits] = 1 << node % word_bits
    libc = ctypes.CDLL(None, use_errno=True)
    # The kernel reads one bit less than it is told: mm/mempolicy.c, get_nodes.
    if libc.syscall(ctypes.c_long(number), ctypes.c_long(MPOL_PREFERRED), mask, ctypes.c_ulong(MAX_NODES + 1)) != 0:
        reason = os.strerror(ctypes.get_errno())
        advice = "a container needs the capability SYS_NICE, and the node's memory in its cpuset"
        raise _invalid(node, f"the system refuses the memory policy ({reason}): {advice}")


def _invalid(node: int, problem: str) -> SettingsError:
    return SettingsError(f"NUMA_NODE={node}: {problem}", param="NUMA_NODE")


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except OSError:
        return ""
