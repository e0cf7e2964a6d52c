"""The bytes of a live MP4 stream, split so that no box header is divided.

FFmpeg's demuxer takes a part of a header for a damaged box where the source cannot seek and has no more bytes yet.
"""

from __future__ import annotations

import struct

_SIZE = struct.Struct(">I")
_LARGE_SIZE = struct.Struct(">Q")
HEAD_BYTES = 8
LARGE_HEAD_BYTES = 16
"""Where the size takes 64 bits (ISO/IEC 14496-12, 4.2)."""


class BoxHeaders:
    """Holds back the beginning of a box header until all of it is there."""

    def __init__(self) -> None:
        self._held = b""
        self._left: int | None = 0
        """Bytes that the current box still has; None = it has no end."""

    def feed(self, data: bytes) -> bytes:
        """What may be passed on now: all of `data` and what was held back, but for an incomplete header."""
        data = self._held + data
        at = 0
        while self._left is not None:
            if len(data) - at <= self._left:
                self._left -= len(data) - at
                self._held = b""
                return data
            at += self._left
            size = _box_size(data[at : at + LARGE_HEAD_BYTES])
            if size is None:
                self._held, self._left = data[at:], 0
                return data[:at]
            self._left = size or None
        self._held = b""
        return data


def _box_size(head: bytes) -> int | None:
    """The size of a box with its header; 0 = up to the end of the stream; None = the header is incomplete."""
    if len(head) < HEAD_BYTES:
        return None
    (size,) = _SIZE.unpack_from(head)
    if size == 1:
        return _LARGE_SIZE.unpack_from(head, HEAD_BYTES)[0] if len(head) >= LARGE_HEAD_BYTES else None
    return size if size == 0 or size >= HEAD_BYTES else HEAD_BYTES  # less is damage, which FFmpeg will find
