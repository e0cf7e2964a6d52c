"""The memory limit of a control group, read from a folder that stands for `/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from steno.cli.memory_check import NEEDED_RESIDENT_MB, check_memory, control_group_mb
from steno.errors import SettingsError

UNLIMITED_V1 = "9223372036854771712"


def write(root: Path, **files: str) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(f"{text}\n", encoding="ascii")


def test_version_2_has_memory_max(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(512 * 2**20)})
    assert control_group_mb(tmp_path) == 512


def test_a_group_above_may_have_the_lower_limit(tmp_path: Path) -> None:
    groups = {
        "proc/self/cgroup": "0::/system.slice/steno.service",
        "sys/fs/cgroup/system.slice/memory.max": str(300 * 2**20),
        "sys/fs/cgroup/system.slice/steno.service/memory.max": "max",
    }
    write(tmp_path, **groups)
    assert control_group_mb(tmp_path) == 300


def test_version_1_has_limit_in_bytes(tmp_path: Path) -> None:
    groups = {
        "proc/self/cgroup": "5:cpu:/docker/1f\n4:memory:/docker/1f",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": str(256 * 2**20),
    }
    write(tmp_path, **groups)
    assert control_group_mb(tmp_path) == 256


@pytest.mark.parametrize("limit", [UNLIMITED_V1, "", "nonsense"])
def test_version_1_without_a_limit_has_a_very_large_number(tmp_path: Path, limit: str) -> None:
    groups = {"proc/self/cgroup": "4:memory:/", "sys/fs/cgroup/memory/memory.limit_in_bytes": limit}
    write(tmp_path, **groups)
    assert control_group_mb(tmp_path) is None


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert control_group_mb(tmp_path) is None
    check_memory(tmp_path)


def test_a_group_with_too_little_memory_is_named_at_start(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(64 * 2**20)})
    with pytest.raises(SettingsError, match=r"control group's memory is limited to 64 MB \(docker --memory"):
        check_memory(tmp_path)


def test_enough_memory_is_enough(tmp_path: Path) -> None:
    write(tmp_path, **{"proc/self/cgroup": "0::/", "sys/fs/cgroup/memory.max": str(NEEDED_RESIDENT_MB * 2**20)})
    check_memory(tmp_path)
