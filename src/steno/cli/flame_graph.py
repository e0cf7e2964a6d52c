"""`--profile`: a flame graph of all threads of this process, as an HTML page of pyinstrument's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steno.errors import SettingsError
from steno.whole_file import write_whole

if TYPE_CHECKING:
    from pyinstrument.session import Session

INTERVAL_S = 0.002
"""Between samples. Each thread is sampled where it calls or returns from a function."""
THREADS_END_S = 2.0
"""How long threads are waited for at the end; those that go on are missing in the graph."""


@contextmanager
def flame_graph(path: Path | None) -> Iterator[None]:
    """Sample this thread, and each that is started while the context is open; then write the page. No-op for None.

    Raises:
        SettingsError: pyinstrument is not installed.
    """
    if path is None:
        yield
        return
    try:
        from pyinstrument import Profiler
        from pyinstrument.renderers import HTMLRenderer
        from pyinstrument.session import Session
    except ImportError:
        raise SettingsError("--profile needs pyinstrument: pip install 'steno[profile]'", param="profile") from None
    profiler = Profiler(interval=INTERVAL_S, async_mode="disabled")
    with _profiled_threads() as sessions:
        profiler.start()
        try:
            yield
        finally:
            combined = profiler.stop()
    for session in sessions:
        combined = Session.combine(combined, session)
    write_whole(path, HTMLRenderer().render(combined))


@contextmanager
def _profiled_threads() -> Iterator[list[Session]]:
    """Profile each thread that is started while the context is open, because pyinstrument samples a single thread.

    Yields:
        The sessions of threads that have ended; complete when the context is left.
    """
    from pyinstrument import Profiler

    sessions: list[Session] = []
    started: list[threading.Thread] = []
    original: Callable[[threading.Thread], None] = threading.Thread.run

    def run(thread: threading.Thread) -> None:
        started.append(thread)
        profiler = Profiler(interval=INTERVAL_S, async_mode="disabled")
        profiler.start()
        try:
            original(thread)
        finally:
            sessions.append(profiler.stop())

    threading.Thread.run = run  # type: ignore[method-assign, assignment]
    try:
        yield sessions
    finally:
        threading.Thread.run = original  # type: ignore[method-assign, assignment]
        until = time.monotonic() + THREADS_END_S
        for thread in started:
            thread.join(max(until - time.monotonic(), 0.0))
