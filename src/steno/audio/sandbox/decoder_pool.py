"""Where strangers' media is decoded: in processes of their own, so that a file can harm nothing but its own decoding.

    thread ── DecoderPool.decode / stream ── DecoderProcess ═ socket ═ child: FFmpeg → Mixer → Resampler

A decoder that crashes, takes too much memory or CPU time, or stalls is an `UndecodableAudioError` for its file, and the
process is gone. One that ended its job is kept for the next, for `idle_s`.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from steno.audio.container import AcceptedFormats
from steno.audio.decode import MediaInfo
from steno.audio.sandbox.decoder_client import FlushableSource, converse
from steno.audio.sandbox.decoder_process import DecoderProcess
from steno.audio.sandbox.limits import DecoderLimits
from steno.audio.sandbox.wire import DecodeJob
from steno.audio.source import opened
from steno.errors import OverloadedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from steno.audio.source import MediaSource
    from steno.types import Audio

SIZE = 8
IDLE_S = 60.0


@dataclass(slots=True)
class _Processes:
    """All that a pool has started. On its own, so that a finalizer can end them without holding the pool."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: list[DecoderProcess] = field(default_factory=list)
    """Longest unused first."""
    lent: set[DecoderProcess] = field(default_factory=set)
    starting: int = 0
    started: int = 0
    closed: bool = False
    timer: threading.Timer | None = None


class DecoderPool:
    """Lends decoder processes, `size` at most; more are refused, never queued. Making one starts nothing.

    Blocking and thread-safe. `close` ends everything; so does the end of this process, however it comes.
    """

    def __init__(self, size: int = SIZE, limits: DecoderLimits | None = None, idle_s: float = IDLE_S) -> None:
        self.size = size
        self._limits = limits or DecoderLimits()
        self._idle_s = idle_s
        self._processes = _Processes()
        weakref.finalize(self, _end_all, self._processes)

    @property
    def pids(self) -> list[int]:
        """Of all processes, idle and lent."""
        with self._processes.lock:
            return [process.pid for process in (*self._processes.idle, *self._processes.lent)]

    @property
    def started(self) -> int:
        """Processes started since the pool was made."""
        return self._processes.started

    def decode(
        self,
        source: BinaryIO | Path,
        *,
        max_seconds: float | None,
        track: str | None = None,
        cancelled: threading.Event | None = None,
        chunk_s: float = 1.0,
        on_open: Callable[[MediaInfo], None] | None = None,
        on_warning: Callable[[str], None] | None = None,
    ) -> Generator[Audio, None, None]:
        """As `steno.audio.decode.decode`, in a decoder process. Closing the generator early kills the process.

        Raises, besides what `decode` does:
            OverloadedError: as many files as may be are being decoded.
            UnavailableError: no process can be started.
        """
        with opened(source) as file:
            size = _size_of(file)
            job = DecodeJob(size, max_seconds, chunk_s, track)
            with self._lent(cancelled) as process:
                yield from converse(process, job, file, cancelled, on_open, on_warning)

    def stream(
        self, source: FlushableSource, accepted: AcceptedFormats, cancelled: threading.Event
    ) -> Generator[Audio, None, None]:
        """The audio of a live stream, as soon as `source` brings its bytes. Raises as `decode` does."""
        with self._lent(cancelled) as process:
            yield from converse(process, DecodeJob(None, live=accepted), source, cancelled)

    def close(self) -> None:
        """End all processes. Jobs that still run fail; nothing can be lent any more."""
        _end_all(self._processes)

    @contextmanager
    def _lent(self, cancelled: threading.Event | None) -> Iterator[DecoderProcess]:
        process = self._take() or self._start()
        try:
            yield process
        finally:
            self._put_back(process)

    def _take(self) -> DecoderProcess | None:
        """An idle process; None = one may be started.

        Raises:
            OverloadedError, UnavailableError: neither.
        """
        processes = self._processes
        dead: list[DecoderProcess] = []
        try:
            with processes.lock:
                if processes.closed:
                    raise UnavailableError("the decoders are shut down")
                while processes.idle:
                    process = processes.idle.pop()
                    if process.is_alive:
                        processes.lent.add(process)
                        return process
                    dead.append(process)
                if len(processes.lent) + processes.starting >= self.size:
                    raise OverloadedError(f"{self.size} recordings or streams are being decoded, the most at once")
                processes.starting += 1
                return None
        finally:
            for process in dead:
                process.close()

    def _start(self) -> DecoderProcess:
        processes = self._processes
        try:
            process = DecoderProcess.start(self._limits)
        finally:
            with processes.lock:
                processes.starting -= 1
        with processes.lock:
            processes.started += 1
            processes.lent.add(process)
            if processes.closed:
                process.kill()  # its job fails
        return process

    def _put_back(self, process: DecoderProcess) -> None:
        processes = self._processes
        with processes.lock:
            processes.lent.discard(process)
            is_kept = not processes.closed and not process.is_busy and process.is_alive
            if is_kept:
                process.idle_since = time.monotonic()
                processes.idle.append(process)
                _watch_idle(processes, self._idle_s)
        if not is_kept:
            process.kill()
            process.close()


def _watch_idle(processes: _Processes, idle_s: float) -> None:
    """Have `_end_idle` run when the first idle process is due. The lock is held."""
    if processes.timer is not None or not processes.idle:
        return
    due_s = max(processes.idle[0].idle_since + idle_s - time.monotonic(), 0.0)
    processes.timer = threading.Timer(due_s, _end_idle, (processes, idle_s))
    processes.timer.daemon = True
    processes.timer.start()


def _end_idle(processes: _Processes, idle_s: float) -> None:
    """In the timer's thread."""
    with processes.lock:
        processes.timer = None
        due = [process for process in processes.idle if time.monotonic() - process.idle_since >= idle_s]
        processes.idle = [process for process in processes.idle if process not in due]
        _watch_idle(processes, idle_s)
    for process in due:
        process.close()


def _end_all(processes: _Processes) -> None:
    with processes.lock:
        processes.closed = True
        idle, processes.idle = processes.idle, []
        for process in processes.lent:
            process.kill()
        if processes.timer is not None:
            processes.timer.cancel()
    for process in idle:
        process.kill()  # it holds nothing that is worth a farewell
        process.close()


def _size_of(source: MediaSource) -> int | None:
    return source.seek(0, os.SEEK_END) if source.seekable() else None
