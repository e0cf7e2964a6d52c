"""A C program with the command line of `antirez/qwen-asr`.

It tells the time of each part on stderr (`--debug`) and writes each token as soon as it is decoded. The vocabulary of
`original_weights` gives every token a text. The program has no bound of tokens: it is ended once it has written enough.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import IO

from benchmarks.peering.parts import RUN_S, Parts, PeerError, Plan, environment

TOLD = re.compile(r"^\s*(Mel|Encoder|Prefill): \d+ \w+ \((\d+) ms\)", re.MULTILINE)


def run_binary(binary: Path, plan: Plan) -> Parts:
    """Recognise the clip once.

    Raises:
        PeerError: it ended early, or told no times.
    """
    command = [
        str(binary),
        "-d",
        plan.model,
        "-i",
        plan.wav,
        "-t",
        str(plan.threads),
        "--language",
        "English",
        "--debug",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(plan.threads)
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        told = _Told(process.stderr)
        limit = threading.Timer(RUN_S, process.kill)
        limit.start()
        try:
            times = _token_times(process.stdout, plan.tokens)
        finally:
            limit.cancel()
            process.kill()
        told.join(10.0)
    found = {name.lower(): float(ms) for name, ms in TOLD.findall(told.text)}
    if len(times) < plan.tokens or len(found) < 3:
        raise PeerError(f"{binary} wrote {len(times)} of {plan.tokens} tokens:\n{told.text[-2000:]}")
    decode = 1000 * (times[-1] - times[0]) / (len(times) - 1)
    return Parts(sum(found.values()), decode, found["encoder"], found["prefill"])


def _token_times(output: IO[bytes], tokens: int) -> list[float]:
    """When each token was written; the program flushes after each."""
    times: list[float] = []
    while len(times) < tokens and os.read(output.fileno(), 4096):
        times.append(time.perf_counter())
    return times


class _Told(threading.Thread):
    """Reads what it tells, so that it never waits."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self.text = ""
        self.start()

    def run(self) -> None:
        while some := os.read(self._stream.fileno(), 4096):
            self.text += some.decode(errors="replace")
