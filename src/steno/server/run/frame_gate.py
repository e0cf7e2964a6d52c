"""Splits a WebSocket client's bytes into frames (RFC 6455, 5.2), and limits control frames and fragments.

The gate reads only the heads of frames. The server's own parser gets all bytes and checks the rest. No socket; the
clock is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable

from steno.server.leaky_bucket import LeakyBucket

MAX_CONTROL_FRAMES = 60
"""Max control frames in a burst. Clients normally ping every few seconds."""
CONTROL_FRAMES_PER_S = 20.0
"""Sustained rate of control frames that is allowed."""
MAX_FRAGMENTS = 1024
"""Max frames of one message. A browser sends 16 MiB as about 130 frames."""

POLICY, TOO_BIG = 1008, 1009
"""Close codes: RFC 6455, 7.4.1."""

_CONTINUATION, _TEXT, _CLOSE = 0x0, 0x1, 0x8
_CONTROL = 0x8
"""Opcode bit that marks control frames."""


class FrameError(Exception):
    """A limit was exceeded. The connection is closed with `code` and `reason`."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameGate:
    """Takes bytes with `feed`; `take` returns a piece of one frame, or None if it needs more bytes.

    Args:
        clock: monotonic seconds.
    """

    at_head = False
    """As in `RequestGate`. Always False: no frame has to wait for a response."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._data = bytearray()
        self._remaining = 0
        """Remaining bytes of the current payload."""
        self._fragments = 0
        """Frames of the current message so far."""
        self._text_bytes: int | None = None
        """Size of the current text message so far; None = it is binary."""
        self._control_frames = LeakyBucket(MAX_CONTROL_FRAMES, CONTROL_FRAMES_PER_S, clock)
        self.is_closed = False
        """Whether a close frame was taken; nothing follows it."""
        self.max_text_bytes: int | None = None
        """Max size of a text message; None = the parser's limit."""

    @property
    def pending(self) -> int:
        """Bytes fed and not taken."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> None:
        self._data += data

    def take(self) -> bytes | None:
        """Take the next piece: all available bytes of the current frame.

        Raises:
            FrameError: a limit is exceeded.
        """
        size = 0
        if not self._remaining:
            head = self._head()
            if head is None:
                return None
            size, payload = head
            self._check(self._data[0], payload)
            self._remaining = payload
        part = min(self._remaining, len(self._data) - size)
        self._remaining -= part
        piece = bytes(self._data[: size + part])
        del self._data[: size + part]
        return piece or None

    def _head(self) -> tuple[int, int] | None:
        """(bytes of the frame's head, bytes of its payload); None until the head has arrived."""
        data = self._data
        if len(data) < 2:
            return None
        length, is_masked = data[1] & 0x7F, data[1] & 0x80
        extended = {126: 2, 127: 8}.get(length, 0)
        size = 2 + extended + (4 if is_masked else 0)
        if len(data) < size:
            return None
        return size, int.from_bytes(data[2 : 2 + extended]) if extended else length

    def _check(self, first: int, payload: int) -> None:
        opcode = first & 0x0F
        if opcode & _CONTROL:
            self.is_closed = self.is_closed or opcode == _CLOSE
            if not self._control_frames.add():
                raise FrameError(POLICY, f"more than {CONTROL_FRAMES_PER_S:g} control frames per second")
            return
        if opcode == _CONTINUATION:
            self._fragments += 1
            if self._fragments > MAX_FRAGMENTS:
                raise FrameError(POLICY, f"a message has more than {MAX_FRAGMENTS} fragments")
        else:
            self._fragments = 1
            self._text_bytes = 0 if opcode == _TEXT else None
        if self._text_bytes is not None:
            self._text_bytes += payload
            if self.max_text_bytes is not None and self._text_bytes > self.max_text_bytes:
                raise FrameError(TOO_BIG, f"a text message is longer than {self.max_text_bytes} bytes")
