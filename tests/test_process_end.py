from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from steno.process_end import how_it_ended


@pytest.mark.parametrize(
    ("statement", "how"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "by SIGKILL"),
        ("sys.exit(3)", "with exit code 3"),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGRTMIN + 6)",
            f"by signal {getattr(signal, 'SIGRTMIN', 0) + 6}",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no real-time signals"),
        ),
    ],
)
def test_the_end_of_a_process_has_words(statement: str, how: str) -> None:
    ended = subprocess.run([sys.executable, "-c", f"import os, signal, sys; {statement}"], timeout=30)
    assert how_it_ended(ended.returncode) == how
