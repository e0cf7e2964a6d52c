"""Log lines go to a stream in a thread of their own: a pipe that is not read must not stop what logs."""

from __future__ import annotations

import threading
from collections import deque
from typing import TextIO

from loguru import logger

MAX_WAITING_CHARS = 4 * 2**20
STOP_S = 2.0
"""What is not written by then, at the end, is lost."""


class LogWriter:
    """A sink for loguru. What does not fit is dropped, counted, and told once there is room.

    Args:
        max_chars: how much may wait to be written.
    """

    def __init__(self, stream: TextIO, max_chars: int = MAX_WAITING_CHARS) -> None:
        self._stream = stream
        self._max_chars = max_chars
        self._lines: deque[str] = deque()
        self._chars = 0
        """Of lines that are not written, the one at hand included."""
        self._dropped = 0
        self._is_stopped = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Never waits for the stream."""
        with self._changed:
            if self._chars + len(line) > self._max_chars:
                self._dropped += 1
                return
            self._lines.append(line)
            self._chars += len(line)
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until all is written; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._chars, timeout_s)

    def stop(self) -> None:
        """Write what waits, for `STOP_S` at most, and end the thread. loguru calls this, at exit too."""
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
            except (OSError, ValueError):  # the other end of the pipe is gone: there is nowhere to say so
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
            logger.warning("{} log lines were dropped: they came faster than they were read", dropped)
