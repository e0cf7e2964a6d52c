"""`steno serve` with a watch on its event loop: a program for `WatchedServer`, which reads what it writes.

A stall is how late the loop ran a timer, less what the machine is to blame for: the time that the loop's thread, and
the one thread that may have held Python's lock meanwhile, were ready to run and had no processor (Linux counts it). So
it is the same on a machine that is busy.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from running import RunningServer, until

TICK_S = 0.005
WORTH_TELLING_S = 0.02
STALLS, WORDS_PER_S, BLOCK_S = "TEST_STALLS", "TEST_WORDS_PER_S", "TEST_BLOCK_S"
"""Environment variables: where stalls go, one a line in seconds; how fast the scripted backend's speaker talks; for how
long each request of `/health` blocks the loop."""


class WatchedServer(RunningServer):
    """Like `RunningServer`, with `watching`."""

    command = (__file__,)

    def __init__(self, stalls: Path, words_per_s: float = 2.0, **environment: str) -> None:
        super().__init__(**environment, **{STALLS: str(stalls), WORDS_PER_S: str(words_per_s)})
        self._stalls = stalls

    @contextmanager
    def watching(self) -> Iterator[list[float]]:
        """Afterwards the list holds the stalls that there were inside, in seconds."""
        until(self._stalls.exists)
        found: list[float] = []
        before = len(self._told())
        yield found
        ticks = self._ticks()
        until(lambda: self._ticks() > ticks + 1)  # what was blocked has run by now
        found += self._told()[before:]

    def _told(self) -> list[float]:
        return [float(line) for line in self._stalls.read_text().splitlines() if line != "tick"]

    def _ticks(self) -> int:
        return self._stalls.read_text().splitlines().count("tick")


def stall_of(before: Mapping[str, float], after: Mapping[str, float], late_s: float, loop_thread: str) -> float:
    """What of `late_s` the process is to blame for, from the times that its threads had waited for a processor."""
    waited = {thread: max(after[thread] - before.get(thread, 0.0), 0.0) for thread in after}
    own = waited.pop(loop_thread, 0.0)
    return late_s - own - max(waited.values(), default=0.0)


def waited_s() -> dict[str, float]:
    """By thread, the seconds that it was ready to run and had no processor (proc(5), schedstat)."""
    found = {}
    for thread in os.listdir("/proc/self/task"):
        try:
            found[thread] = int(Path(f"/proc/self/task/{thread}/schedstat").read_text().split()[1]) / 1e9
        except OSError:
            continue  # it has just ended
    return found


async def _watch(stalls: Path) -> None:
    loop_thread = str(threading.get_native_id())
    with stalls.open("w", buffering=1) as out:
        told_at = time.perf_counter()
        while True:
            before, began = waited_s(), time.perf_counter()
            await asyncio.sleep(TICK_S)
            now = time.perf_counter()
            stall_s = stall_of(before, waited_s(), now - began - TICK_S, loop_thread)
            if stall_s > WORTH_TELLING_S:
                out.write(f"{stall_s:.4f}\n")
            if now - told_at > 0.1:
                out.write("tick\n")
                told_at = now


def _main() -> None:
    from fastapi import Request, Response
    from starlette.middleware.base import RequestResponseEndpoint

    from steno import logs, settings
    from steno.backends import scripted
    from steno.cli.serve import banner
    from steno.server.app import create_app
    from steno.server.run.serve import serve

    scripted.WORD_S = 1 / float(os.environ[WORDS_PER_S])
    chosen = settings.load()
    logs.setup(chosen.log_level, chosen.log_json)
    app, watches = create_app(chosen), []

    @app.middleware("http")
    async def block(request: Request, call_next: RequestResponseEndpoint) -> Response:
        if request.url.path == "/health":
            time.sleep(float(os.environ.get(BLOCK_S, "0")))
        return await call_next(request)

    def started(url: str) -> None:
        watches.append(asyncio.get_running_loop().create_task(_watch(Path(os.environ[STALLS]))))
        sys.stdout.write(banner(url, with_key=False))
        sys.stdout.flush()

    serve(app, chosen, started)


if __name__ == "__main__":
    _main()
