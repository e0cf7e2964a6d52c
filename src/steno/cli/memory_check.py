"""Whether there is memory enough to start at all. Imports nothing large: that is what would fail."""

from __future__ import annotations

import sys

from steno.errors import SettingsError

NEEDED_MB = 640
"""Of address space. An idle server takes 190 MB, one that has read a recording 580, with Moonshine 640: most of it
is reserved for threads and never used."""


def check_memory() -> None:
    """Raise SettingsError where the process may not have the address space that a server needs (`ulimit -v`)."""
    limit_mb = _address_space_mb()
    if limit_mb is not None and limit_mb < NEEDED_MB:
        raise SettingsError(
            f"memory is limited to {limit_mb} MB of address space (ulimit -v), and a server needs {NEEDED_MB}: raise "
            "the limit, or bound the server's memory with a cgroup (docker --memory, systemd MemoryMax)"
        )


def _address_space_mb() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit // 2**20
