"""A pool of sandboxed decoder processes for untrusted media, so that a file can harm only its own decoding.

    thread ── DecoderPool.decode / stream ── DecoderProcess ═ socket ═ child: FFmpeg → Mixer → Resampler

A decoder that crashes, exceeds its memory or CPU limit, or stalls raises an `UndecodableAudioError` for its file, and
the process is killed. One that has finished its job is reused within `idle_s`.
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
    """The processes of a pool. A separate object, so that a finalizer can end them without a reference to the pool."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    idle: list[DecoderProcess] = field(default_factory=list)
    """Least recently used first."""
    leased: set[DecoderProcess] = field(default_factory=set)
    starting: int = 0
    started: int = 0
    closed: bool = False
    timer: threading.Timer | None = None


class DecoderPool:
    """Leases at most `size` decoder processes; further requests are refused, never queued. The constructor starts none.

    Blocking and thread-safe. `close` ends all processes, and so does the end of this process.
    """

    def __init__(self, size: int = SIZE, limits: DecoderLimits | None = None, idle_s: float = IDLE_S) -> None:
        self.size = size
        self._limits = limits or DecoderLimits()
        self._idle_s = idle_s
        self._processes = _Processes()
        weakref.finalize(self, _end_all, self._processes)

    @property
    def pids(self) -> list[int]:
        """Process ids, idle and leased."""
        with self._processes.lock:
            return [process.pid for process in (*self._processes.idle, *self._processes.leased)]

    @property
    def started(self) -> int:
        """Number of processes started so far."""
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
            OverloadedError: all decoders are in use.
            UnavailableError: a process cannot be started.
        """
        with opened(source) as file:
            size = _size_of(file)
            job = DecodeJob(size, max_seconds, chunk_s, track)
            with self._lease(cancelled) as process:
                yield from converse(process, job, file, cancelled, on_open, on_warning)

    def stream(
        self, source: FlushableSource, accepted: AcceptedFormats, cancelled: threading.Event
    ) -> Generator[Audio, None, None]:
        """The audio of a live stream, as soon as `source` has its bytes. Raises as `decode` does."""
        with self._lease(cancelled) as process:
            yield from converse(process, DecodeJob(None, live=accepted), source, cancelled)

    def close(self) -> None:
        """End all processes. Running jobs fail; no process can be leased any more."""
        _end_all(self._processes)

    @contextmanager
    def _lease(self, cancelled: threading.Event | None) -> Iterator[DecoderProcess]:
        process = self._take() or self._start()
        try:
            yield process
        finally:
            self._return(process)

    def _take(self) -> DecoderProcess | None:
        """An idle process; None = start one.

        Raises:
            OverloadedError: all processes are in use.
            UnavailableError: the pool is closed.
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
                        processes.leased.add(process)
                        return process
                    dead.append(process)
                if len(processes.leased) + processes.starting >= self.size:
                    raise OverloadedError(f"{self.size} recordings or streams are being decoded, which is the maximum")
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
            processes.leased.add(process)
            if processes.closed:
                process.kill()  # its job fails
        return process

    def _return(self, process: DecoderProcess) -> None:
        processes = self._processes
        with processes.lock:
            processes.leased.discard(process)
            is_reusable = not processes.closed and not process.is_busy and process.is_alive
            if is_reusable:
                process.idle_since = time.monotonic()
                processes.idle.append(process)
                _watch_idle(processes, self._idle_s)
        if not is_reusable:
            process.kill()
            process.close()


def _watch_idle(processes: _Processes, idle_s: float) -> None:
    """Schedule `_end_idle` for the first idle process. The lock must be held."""
    if processes.timer is not None or not processes.idle:
        return
    due_s = max(processes.idle[0].idle_since + idle_s - time.monotonic(), 0.0)
    processes.timer = threading.Timer(due_s, _end_idle, (processes, idle_s))
    processes.timer.daemon = True
    processes.timer.start()


def _end_idle(processes: _Processes, idle_s: float) -> None:
    """End processes that were idle for `idle_s`. Runs in the timer's thread."""
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
        for process in processes.leased:
            process.kill()
        if processes.timer is not None:
            processes.timer.cancel()
    for process in idle:
        process.kill()  # it holds no state
        process.close()


def _size_of(source: MediaSource) -> int | None:
    return source.seek(0, os.SEEK_END) if source.seekable() else None
