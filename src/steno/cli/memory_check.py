"""Checks that there is enough memory to start. Imports no large package, because such an import would fail."""

from __future__ import annotations

import sys
from pathlib import Path

from steno.errors import SettingsError

NEEDED_MB = 640
"""Min address space. An idle server takes 190 MB, one that has decoded a recording 580, with Moonshine 640; most of it
is reserved for threads and never used."""

NEEDED_RESIDENT_MB = 256
"""Min memory of the server and its child processes. An idle server takes 61 MB, one that has transcribed a short
recording 209 with Moonshine and 242 with PocketSphinx (proportional set size). Larger models check their own needs."""

UNLIMITED_BYTES = 2**60
"""In cgroups v1, no limit is represented by the largest multiple of the page size, which is above this."""


def check_memory(root: Path = Path("/")) -> None:
    """Raise SettingsError if the address space (`ulimit -v`) or the control group's memory (of a container) is limited
    to less than a server needs.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    limit_mb = _address_space_mb()
    if limit_mb is not None and limit_mb < NEEDED_MB:
        raise SettingsError(
            f"memory is limited to {limit_mb} MB of address space (ulimit -v), and a server needs {NEEDED_MB}: raise "
            "the limit, or bound the server's memory with a cgroup (docker --memory, systemd MemoryMax)"
        )
    limit_mb = control_group_mb(root)
    if limit_mb is not None and limit_mb < NEEDED_RESIDENT_MB:
        raise SettingsError(
            f"the control group's memory is limited to {limit_mb} MB (docker --memory, systemd MemoryMax), and a "
            f"server needs {NEEDED_RESIDENT_MB}, with a large model more: raise the limit"
        )


def control_group_mb(root: Path) -> int | None:
    """The smallest memory limit of this process's control group and its parents, in MB; None = no limit.

    cgroups(7): version 2 has `memory.max`, version 1 `memory.limit_in_bytes`. In a container the group's path may be
    the host's, of which only the top exists.
    """
    limits = [limit for file in _limit_files(root) if (limit := _limit_of(file)) is not None]
    return min(limits) // 2**20 if limits else None


def _limit_files(root: Path) -> list[Path]:
    files = []
    for line in _text_of(root / "proc/self/cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.strip("/"))
        files += [top / part / name for part in (group, *group.parents)]
    return files


def _limit_of(file: Path) -> int | None:
    text = _text_of(file).strip()
    if not text.isdigit():  # "max"
        return None
    limit = int(text)
    return limit if limit < UNLIMITED_BYTES else None


def _text_of(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _address_space_mb() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit // 2**20
