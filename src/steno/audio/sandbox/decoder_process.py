"""The parent's handle on one decoder process. All calls block: use it in threads, never on an event loop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict

from loguru import logger

from steno.audio.sandbox.limits import DecoderLimits
from steno.audio.sandbox.wire import HEAD_BYTES, MessageKind, SandboxProtocolError, send, unpack_head
from steno.audio.source import DecodeCancelled
from steno.errors import UnavailableError

START_TIMEOUT_S = 30.0
"""A start takes 0.25 s, but up to this on a busy machine."""

STALL_TIMEOUT_S = 120.0
"""A decoder that sends nothing for this long is killed. Its CPU limit ends it sooner, unless it does not run at all."""

STOP_TIMEOUT_S = 5.0
"""An idle process exits within milliseconds of the end of its connection."""

POLL_S = 0.05
"""Max delay until a cancellation is noticed while a decoder works."""

_INHERITED = (
    *("PATH", "PYTHON", "LD_", "DYLD_", "LANG", "LC_", "TMP", "TEMP", "HOME"),
    *("SYSTEMROOT", "APPDATA", "USERPROFILE", "VIRTUAL_ENV", "COVERAGE"),
)
"""Prefixes of environment variables that a decoder inherits: those Python needs, and no secrets."""


class DecoderDiedError(Exception):
    """The process ended during a job, or was killed because it stalled."""


class DecoderProcess:
    """Runs one job at a time, for one thread at a time; any thread may call `kill`."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._killed = False
        self.is_busy = False
        """Whether a job has not ended: only an idle process can be reused."""
        self.idle_since = time.monotonic()

    @classmethod
    def start(cls, limits: DecoderLimits) -> DecoderProcess:
        """Start a process and wait until it is ready.

        Raises:
            UnavailableError: it cannot be started, or was not ready in time.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise _cannot_start(error) from error
        try:
            child = cls(_spawn(theirs, limits), ours)
        except OSError as error:
            ours.close()
            raise _cannot_start(error) from error
        finally:
            theirs.close()
        try:
            child._expect_ready()
        except (DecoderDiedError, SandboxProtocolError) as error:
            child.kill()
            child.close()
            raise _cannot_start(error) from error
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return not self._killed and self._process.poll() is None

    def send(self, kind: MessageKind, payload: bytes = b"") -> None:
        """Raises DecoderDiedError: the process has ended, or does not read."""
        try:
            self._connection.settimeout(STALL_TIMEOUT_S)
            send(self._connection, kind, payload)
        except OSError:
            raise DecoderDiedError(self._cause()) from None

    def receive(
        self, cancelled: threading.Event | None = None, timeout_s: float = STALL_TIMEOUT_S
    ) -> tuple[MessageKind, bytearray]:
        """The next message.

        Raises:
            DecoderDiedError: the process has ended, or sent nothing for `timeout_s`.
            DecodeCancelled: `cancelled` was set.
            SandboxProtocolError: it sent an invalid message.
        """
        deadline = time.monotonic() + timeout_s
        kind, size = unpack_head(self._exactly(HEAD_BYTES, cancelled, deadline))
        return kind, self._exactly(size, cancelled, deadline)

    def kill(self) -> None:
        """Kill it at once. `close` reaps it."""
        self._killed = True
        with suppress(ProcessLookupError):
            self._process.kill()

    def close(self) -> None:
        """End an idle or killed process, and wait for its exit."""
        self._connection.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)

    def _expect_ready(self) -> None:
        kind, _ = self.receive(timeout_s=START_TIMEOUT_S)
        if kind is not MessageKind.READY:
            raise SandboxProtocolError(f"{kind.name} in place of READY")

    def _exactly(self, size: int, cancelled: threading.Event | None, deadline: float) -> bytearray:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        self._connection.settimeout(POLL_S)
        while filled < size:
            try:
                count = self._connection.recv_into(view[filled:])
            except TimeoutError:
                if cancelled is not None and cancelled.is_set():
                    raise DecodeCancelled from None
                if time.monotonic() > deadline:
                    raise DecoderDiedError("it stalled") from None
                continue
            except OSError:
                count = 0
            if not count:
                raise DecoderDiedError(self._cause())
            filled += count
        return data

    def _cause(self) -> str:
        """How it ended, as text for the log."""
        try:
            status = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _spawn(theirs: socket.socket, limits: DecoderLimits) -> subprocess.Popen[bytes]:
    """Start Python with its end of the connection. It inherits stderr, for unforeseen tracebacks."""
    module = [sys.executable, "-P", "-m", "steno.audio.sandbox.child"]  # -P: no modules from the current folder
    options = json.dumps(asdict(limits))
    # numpy's BLAS would allocate a thread per core, and address space per thread.
    single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    inherited = {name: value for name, value in os.environ.items() if name.upper().startswith(_INHERITED)}
    environment = {**inherited, **single}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        flags |= subprocess.BELOW_NORMAL_PRIORITY_CLASS if limits.niceness else 0
        process = subprocess.Popen(
            [*module, "stdin", options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env=environment, creationflags=flags,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(theirs.share(process.pid))
        process.stdin.close()
        return process
    return subprocess.Popen(
        [*module, str(theirs.fileno()), options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
        pass_fds=(theirs.fileno(),),
        start_new_session=True,  # Ctrl-C must not reach it while Python starts and cannot ignore it yet
    )


def _cannot_start(error: Exception) -> UnavailableError:
    logger.error("a decoder process cannot be started: {}", error)
    return UnavailableError("no decoder process can be started now; try again", retry_after_s=5.0)
