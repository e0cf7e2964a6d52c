"""A process beside the test that does nothing but sleep: as late as it is woken, everybody is on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType

_SCRIPT = """
import json, sys, threading, time
until_closed = threading.Thread(target=sys.stdin.read)
until_closed.start()
print("ready", flush=True)
late = []
while until_closed.is_alive():
    began = time.perf_counter()
    time.sleep(0.005)
    late.append(time.perf_counter() - began - 0.005)
print(json.dumps(late))
"""


class Bystander:
    """Use it as `with Bystander() as bystander: …`; afterwards `late_s` says how late it was, each time."""

    def __init__(self) -> None:
        self.late_s: list[float] = []

    def __enter__(self) -> Bystander:
        command = [sys.executable, "-S", "-c", _SCRIPT]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        out, _ = self._process.communicate(timeout=60)
        self.late_s = json.loads(out)

    @property
    def worst_s(self) -> float:
        return max(self.late_s, default=0.0)
