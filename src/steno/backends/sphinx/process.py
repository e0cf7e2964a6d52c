"""The parent's handle on one child process."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import Literal, TypeAlias

from loguru import logger

from steno.backends.sphinx.child_protocol import ChildProtocolError, Header, Message, pack, receive
from steno.errors import BackendCrashedError, BackendError

Role: TypeAlias = Literal["recognise", "align"]
"""What a child does; it loads only the decoder for that."""

START_TIMEOUT_S = 30.0
"""A start takes 0.2 to 0.4 s, but up to this on a busy machine."""

STOP_GRACE_S = 1.0
"""An idle child exits within milliseconds of the end of its input."""


class DecodingTimeoutError(BackendCrashedError):
    """The child was killed because it did not answer in time. Not retried: that would take as long."""

    may_pass = False


class Child:
    """Handles one call at a time. A call that is cancelled, times out or finds the child dead kills it.

    `stop` must be called for every child, killed or not: it reaps the process and closes its pipes.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._killed = False
        self.calls = 0
        self.rss_mb = 0.0

    @classmethod
    async def start(cls, role: Role, niceness: int = 0) -> Child:
        """Start a child and wait until its decoder is ready.

        Args:
            niceness: by how much its priority is lowered.

        Raises:
            BackendCrashedError: it exited, or was not ready in time. It inherits stderr, which has the traceback.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # no modules from the current folder
            "-m",
            "steno.backends.sphinx.sphinx_child",
            role,
            str(niceness),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C must not reach it while Python starts and cannot ignore it yet
        )
        child = cls(process)
        try:
            await child._reply(b"", START_TIMEOUT_S)
        except BaseException:
            await asyncio.shield(child.stop())
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def usable(self) -> bool:
        return not self._killed and self._process.returncode is None and not self._stdout.at_eof()

    async def call(self, header: Header, payload: bytes = b"", *, timeout_s: float) -> Header:
        """Send a request and wait for the reply.

        Raises:
            BackendCrashedError: the child died.
            DecodingTimeoutError: it did not answer within `timeout_s`.
            BackendError: it returned an error.
        """
        self.calls += 1
        reply = await self._reply(pack(Message(header, payload)), timeout_s)
        self.rss_mb = reply.get("rss_mb", 0.0)
        if "error" in reply:
            self.kill()  # its decoder's state is unknown
            logger.error("a decoding process failed: {}", reply["error"])
            raise BackendError("the decoder failed; try again; the server's log has the reason")
        return reply

    def kill(self) -> None:
        """Kill the process at once. `stop` reaps it."""
        self._killed = True
        with suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Let it exit, kill it if it does not, and reap it."""
        self._stdin.close()
        try:
            async with asyncio.timeout(STOP_GRACE_S):
                await self._wait_for_exit()
        except TimeoutError:
            self.kill()
            await self._wait_for_exit()

    async def _wait_for_exit(self) -> None:
        # Reading to the end lets the pipe's transport close: an unread reply would block `wait` forever.
        with suppress(ConnectionError):
            await self._stdout.read()
        await self._process.wait()

    async def _reply(self, request: bytes, timeout_s: float) -> Header:
        answered = False
        try:
            async with asyncio.timeout(timeout_s):
                if request:
                    self._stdin.write(request)
                    await self._stdin.drain()
                reply = await receive(self._stdout)
            answered = True
            return reply.header
        except TimeoutError:
            raise DecodingTimeoutError(f"a decoding process did not answer within {timeout_s:.0f} s") from None
        except (ConnectionError, asyncio.IncompleteReadError):
            raise BackendCrashedError(f"a decoding process died ({await self._cause()})") from None
        except ChildProtocolError as error:
            logger.error("a decoding process sent an invalid message: {}", error)
            raise BackendCrashedError("a decoding process sent an invalid message") from error
        finally:
            if not answered:
                self.kill()

    async def _cause(self) -> str:
        """How it ended, as text. Its pipes are closed, so its exit status is available at once."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_GRACE_S):
                status = await self._process.wait()
                return signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return "it closed its pipes"
