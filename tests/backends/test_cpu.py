"""What uploads leave to live work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from steno.backends.cpu import UPLOAD_NICE

IN_A_THREAD = """
import os, threading
from concurrent.futures import ThreadPoolExecutor
from steno.backends.cpu import yield_to_live_work
os.nice(7)
def own():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
with ThreadPoolExecutor(1, initializer=yield_to_live_work) as uploads:
    print(uploads.submit(own).result() - own())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_uploads_yield_in_a_server_that_was_started_with_a_low_priority_too() -> None:
    ended = subprocess.run([sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, check=True)
    assert int(ended.stdout) == UPLOAD_NICE
