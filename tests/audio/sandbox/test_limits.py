"""The limits that a decoder process sets itself, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

BURN = """
import time
from steno.audio.sandbox.limits import CpuBudget
budget = CpuBudget(1)
renewed = time.process_time()
while time.process_time() < 3.5:
    if RENEW and time.process_time() - renewed > 0.5:
        budget.renew()
        renewed = time.process_time()
"""

ALLOCATE = """
from steno.audio.sandbox.limits import limit_memory
limit_memory(64)
bytearray(48 << 20)
bytearray(80 << 20)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="Windows has no limit on CPU time")
@pytest.mark.parametrize(("renew", "status"), [(True, 0), (False, -signal.SIGXCPU)], ids=["renewed", "used up"])
def test_cpu_time_is_bounded_from_one_renewal_to_the_next(renew: bool, status: int) -> None:
    assert run(BURN.replace("RENEW", str(renew))).returncode == status


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits memory")
def test_memory_is_bounded_beyond_what_the_process_has() -> None:
    ended = run(ALLOCATE)
    assert "line 5, in <module>\nMemoryError" in ended.stderr
