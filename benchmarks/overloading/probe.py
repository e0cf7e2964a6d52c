"""Times refusals as a client on a machine of its own would see them: a process that does little else.

New clients ask one by one, from blocking sockets; a refused one retries after `Retry-After`, as in the crowd.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import socket
import sys
import threading
import time
from pathlib import Path

from benchmarks.overloading.exchange import Answer, address_of, answer_of, upload_of
from benchmarks.overloading.tally import Tally

NETWORK = 2
"""Addresses 127.2.x.y."""
EVERY_S = 0.5
"""A new client comes so often: p95 needs some samples, and the load must stay the crowd's."""
THREADS = 8
"""One that is let in waits seconds for its text; the others go on."""
NICENESS = -10
"""Where the system allows it: the probe must not wait for a processor that the server and the crowd keep busy."""
PATIENCE_S = 120.0
FAILED = Answer(0, 0.0)


def probe(host: str, port: int, file: Path, seconds: float) -> Tally:
    """Ask for so long. Runs in a process of its own."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    tally = Tally(time.perf_counter() + seconds)
    visits = _Visits(tally, seconds)
    request = upload_of(file, f"{host}:{port}")

    def clients() -> None:
        while (visit := visits.next()) is not None:
            n, is_first = visit
            began = time.perf_counter()
            answer = _ask(host, port, request, address_of(n, NETWORK))
            visits.answered(n, answer, time.perf_counter() - began, is_first=is_first)

    threads = [threading.Thread(target=clients) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


class _Visits:
    """Who asks when, shared by the threads."""

    def __init__(self, tally: Tally, seconds: float) -> None:
        self._tally = tally
        self._lock = threading.Lock()
        now = time.perf_counter()
        self._due = [(now + EVERY_S * n, n, True) for n in range(int(seconds / EVERY_S))]
        """Moment, client, and whether it is the client's first visit; a heap."""

    def next(self) -> tuple[int, bool] | None:
        """The client whose turn it is, and whether it is new, once its moment has come; None: the time is over."""
        with self._lock:
            if not self._due or self._due[0][0] > self._tally.ends:
                return None
            moment, n, is_first = heapq.heappop(self._due)
        time.sleep(max(0.0, moment - time.perf_counter()))
        return None if self._tally.is_over else (n, is_first)

    def answered(self, n: int, answer: Answer, took_s: float, *, is_first: bool) -> None:
        with self._lock:
            self._tally.count(answer.status, took_s)
            if answer.status == 429 and is_first:
                heapq.heappush(self._due, (time.perf_counter() + answer.retry_after_s, n, False))
            elif not is_first:
                self._tally.first_retries.append(answer.status == 200)


def _ask(host: str, port: int, request: bytes, address: str) -> Answer:
    data = bytearray()
    try:
        with socket.create_connection((host, port), PATIENCE_S, source_address=(address, 0)) as connection:
            connection.sendall(request)
            while (answer := answer_of(data)) is None:
                part = connection.recv(65536)
                if not part:
                    return FAILED
                data += part
            return answer
    except (OSError, ValueError):
        return FAILED
