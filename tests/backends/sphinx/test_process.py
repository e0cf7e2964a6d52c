from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import psutil
import pytest

from running import is_alive
from steno.backends.sphinx.process import Child, DecodingTimeoutError
from steno.errors import BackendCrashedError, BackendError

SECOND = bytes(range(256)) * 125
"""A second of PCM that is no speech, but takes its time."""


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    child = await Child.start("recognise")
    yield child
    await child.stop()
    assert not psutil.pid_exists(child.pid)


async def test_a_child_answers_one_call_after_the_other(child: Child) -> None:
    for _ in range(2):
        reply = await child.call({"op": "recognise"}, SECOND, timeout_s=30)
        assert isinstance(reply["words"], list)
    assert child.calls == 2
    assert child.usable
    assert 50 < child.rss_mb < 200


async def test_a_child_that_is_killed_in_a_call_says_how_it_died(child: Child) -> None:
    call = asyncio.ensure_future(child.call({"op": "recognise"}, SECOND * 60, timeout_s=60))
    await asyncio.sleep(0.3)
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(BackendCrashedError, match=r"a decoding process died \(SIGKILL\)"):
        await call
    assert not child.usable


async def test_a_call_past_its_time_ends_with_its_process(child: Child) -> None:
    with pytest.raises(DecodingTimeoutError, match="did not answer within 0 s"):
        await child.call({"op": "recognise"}, SECOND * 60, timeout_s=0.2)
    assert not child.usable


async def test_a_cancelled_call_gives_its_cpu_back_at_once(child: Child) -> None:
    call = asyncio.ensure_future(child.call({"op": "recognise"}, SECOND * 60, timeout_s=60))
    await asyncio.sleep(0.3)
    process = psutil.Process(child.pid)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    started = time.monotonic()
    while is_alive(process):
        assert time.monotonic() - started < 10, "what it was at takes longer"
        await asyncio.sleep(0.01)
    assert not child.usable


async def test_an_error_in_the_child_reaches_the_caller_and_ends_the_child(child: Child) -> None:
    with pytest.raises(BackendError, match=r"^the decoder failed; try again; the server's log has the reason$"):
        await child.call({"op": "sing"}, timeout_s=30)
    assert not child.usable


async def test_what_went_wrong_in_the_child_is_for_the_log_and_not_for_the_caller(
    child: Child, logs: list[str]
) -> None:
    with pytest.raises(BackendError) as error:
        await child.call({"op": "/etc/secret"}, timeout_s=30)
    assert not isinstance(error.value, BackendCrashedError)
    assert "secret" not in error.value.message
    assert logs == ["ERROR a decoding process failed: KeyError: '/etc/secret'"]


async def test_ctrl_c_is_not_the_childs_business(child: Child) -> None:
    os.kill(child.pid, signal.SIGINT)
    assert "words" in await child.call({"op": "recognise"}, SECOND, timeout_s=30)
    assert os.getpgid(child.pid) != os.getpgid(0)


async def test_a_start_that_is_cancelled_leaves_no_process_behind() -> None:
    before = {process.pid for process in psutil.Process().children()}
    for delay_s in (0.0, 0.01, 0.1):
        start = asyncio.ensure_future(Child.start("recognise"))
        await asyncio.sleep(delay_s)
        start.cancel()
        with pytest.raises(asyncio.CancelledError):
            await start
    while {process.pid for process in psutil.Process().children()} - before:
        await asyncio.sleep(0.01)


def test_what_a_library_prints_does_not_get_among_the_replies() -> None:
    script = """
import os
from steno.backends.sphinx.sphinx_child import _own_stdout
replies = _own_stdout()
os.write(1, b"a C library")
print("a Python library", flush=True)
replies.write(b"reply")
replies.flush()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, timeout=90)
    assert ended.stdout == b"reply"
    assert b"a C library" in ended.stderr


def test_children_end_when_their_parent_is_killed() -> None:
    script = """
import asyncio
import numpy as np
from steno.backends.base import Recognize
from steno.backends.sphinx.backend import SphinxBackend

async def main():
    backend = SphinxBackend(workers=2, live_workers=0)
    await backend.load(lambda part, doing: None)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    await asyncio.gather(*(backend.recognize(Recognize(noise)) for _ in range(2)))
    print(*backend.pids, flush=True)
    await backend.recognize(Recognize(np.tile(noise, 20)))

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == 2
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=90)
    assert alive == []
