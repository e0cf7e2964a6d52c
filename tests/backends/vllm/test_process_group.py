"""The plugin in real processes: an owner that is killed, and what it has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from running import is_alive, until
from steno.backends.vllm.process_group import OWNER, WATCH_EVERY_S

END_S = 10.0
CHILD = """
import os, time
from steno.backends.vllm.process_group import leave
leave()
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys
if os.environ.get("IS_OWNER"):
    os.environ["{OWNER}"] = str(os.getpid())
subprocess.run([sys.executable, "-c", sys.argv[1]])
"""


def parent_of(child: str, **environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name != OWNER}
    command = [sys.executable, "-c", PARENT, child]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**inherited, **environment}, start_new_session=True
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[str]]:
    with parent_of(CHILD, IS_OWNER="1") as process:
        yield process
        process.kill()


def test_a_process_of_the_engine_has_a_group_of_its_own_and_ends_when_its_owner_is_killed(
    owner: subprocess.Popen[str],
) -> None:
    child = psutil.Process(int(first_line(owner)))
    assert os.getpgid(child.pid) == child.pid
    owner.send_signal(signal.SIGKILL)
    until(lambda: not is_alive(child), END_S)


def test_processes_of_others_stay_as_they_are() -> None:
    with parent_of(CHILD) as parent:
        child = psutil.Process(int(first_line(parent)))
        assert os.getpgid(child.pid) == os.getpgid(parent.pid)
        parent.kill()
        parent.wait()
        time.sleep(2 * WATCH_EVERY_S + 0.5)
        assert is_alive(child)
        child.kill()


def test_one_that_starts_after_its_owner_has_died_ends_at_once() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with parent_of(CHILD, **{OWNER: str(gone.pid)}) as parent:
        assert first_line(parent) == ""
