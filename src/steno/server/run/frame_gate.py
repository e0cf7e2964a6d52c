"""A WebSocket client's bytes, cut at the ends of its frames, and bounds on frames that cost more than they carry.

RFC 6455, 5.2: only the head of a frame is read here; the server's own parser gets all bytes and checks the rest.
No socket; the time is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable

from steno.server.leaky_bucket import LeakyBucket

MAX_CONTROL_FRAMES = 60
"""Control frames that may come at once. Honest clients ping every few seconds."""
CONTROL_FRAMES_PER_S = 20.0
"""How many of them are forgiven each second."""
MAX_FRAGMENTS = 1024
"""Frames of one message. A browser cuts 16 MiB into some 130."""

POLICY, TOO_BIG = 1008, 1009
"""Close codes: RFC 6455, 7.4.1."""

_CONTINUATION, _TEXT, _CLOSE = 0x0, 0x1, 0x8
_CONTROL = 0x8
"""The bit that control frames have."""


class FrameError(Exception):
    """The client must go; `code` and `reason` are those of the close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameGate:
    """Bytes go in with `feed`; `take` gives a piece of one frame, or None where more bytes are needed.

    Args:
        clock: monotonic seconds.
    """

    at_head = False
    """As for requests: here no piece has to wait until an answer is complete."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._data = bytearray()
        self._left = 0
        """Bytes of the payload at hand."""
        self._fragments = 0
        """Of the message at hand."""
        self._text_bytes: int | None = None
        """Of the text message at hand; None: it is binary."""
        self._control_frames = LeakyBucket(MAX_CONTROL_FRAMES, CONTROL_FRAMES_PER_S, clock)
        self.is_closed = False
        """Whether a close frame was taken: the client sends nothing after it."""
        self.max_text_bytes: int | None = None
        """The longest text message; None: any that the parser takes."""

    @property
    def pending(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> None:
        self._data += data

    def take(self) -> bytes | None:
        """The next piece: all that is there of the frame at hand.

        Raises:
            FrameError: a bound is passed.
        """
        size = 0
        if not self._left:
            head = self._head()
            if head is None:
                return None
            size, payload = head
            self._check(self._data[0], payload)
            self._left = payload
        part = min(self._left, len(self._data) - size)
        self._left -= part
        piece = bytes(self._data[: size + part])
        del self._data[: size + part]
        return piece or None

    def _head(self) -> tuple[int, int] | None:
        """(bytes of the frame's head, bytes of its payload), once the head is there."""
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
                raise FrameError(POLICY, f"more than {CONTROL_FRAMES_PER_S:g} control frames a second")
            return
        if opcode == _CONTINUATION:
            self._fragments += 1
            if self._fragments > MAX_FRAGMENTS:
                raise FrameError(POLICY, f"a message may have {MAX_FRAGMENTS} fragments")
        else:
            self._fragments = 1
            self._text_bytes = 0 if opcode == _TEXT else None
        if self._text_bytes is not None:
            self._text_bytes += payload
            if self.max_text_bytes is not None and self._text_bytes > self.max_text_bytes:
                raise FrameError(TOO_BIG, f"a text message may have {self.max_text_bytes} bytes")
