"""Writes log lines in a thread, so that a pipe that is not read does not block the server."""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO

from loguru import logger

MAX_WAITING_CHARS = 4 * 2**20
STOP_S = 2.0
"""Time limit for writing queued lines at the end; the rest is lost."""


class LogWriter:
    """A sink for loguru. Lines that do not fit are dropped, counted, and reported later.

    Args:
        max_chars: max size of queued lines.
    """

    def __init__(self, stream: TextIO, max_chars: int = MAX_WAITING_CHARS) -> None:
        self._stream = stream
        self._max_chars = max_chars
        self._lines: deque[str] = deque()
        self._chars = 0
        """Characters of unwritten lines, including the current one."""
        self._dropped = 0
        self._is_stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line; never blocks on the stream."""
        with self._changed:
            if self._chars + len(line) > self._max_chars:
                self._dropped += 1
                return
            self._lines.append(line)
            self._chars += len(line)
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all lines are written; return whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._chars, timeout_s)

    def stop(self) -> None:
        """Write queued lines for at most `STOP_S`, and end the thread. loguru calls this, also at exit."""
        self.drain(STOP_S)
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while (line := self._next()) is not None:
            try:
                self._stream.write(line)
                self._stream.flush()
            except (OSError, ValueError):  # the pipe is closed, and there is no other place to report it
                pass
            self._written(line)

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._is_stopped)
            return self._lines.popleft() if self._lines else None

    def _written(self, line: str) -> None:
        with self._changed:
            self._chars -= len(line)
            dropped = self._dropped if not self._lines else 0
            self._dropped -= dropped
            self._changed.notify_all()
        if dropped:
            logger.warning("{} log lines were dropped: the reader of the log is too slow", dropped)
