"""The bytes of an upload as FFmpeg gets to see them."""

from __future__ import annotations

import threading
from typing import BinaryIO


class DecodeCancelled(Exception):
    """The caller set `cancelled`. Not a `StenoError`: whoever set it expects this, and nobody is told."""


class GuardedReader:
    """A file-like object around `source` that FFmpeg cannot hurt and that can stop FFmpeg.

    - It has no name, so neither a path nor a misleading extension reaches FFmpeg.
    - Nothing is ever raised into FFmpeg's callbacks (PyAV parks such an exception per thread, where a later, unrelated
      call may find it): a failed read and a cancellation look like the end of the file, which ends even probing
      at once, and `check` raises what happened.
    - A seekable source is read from its beginning, wherever it stood. It is never closed.
    """

    def __init__(self, source: BinaryIO, cancelled: threading.Event | None = None) -> None:
        self._source = source
        self._cancelled = cancelled
        self._failure: Exception | None = None
        self._seekable = source.seekable()
        self.head = b""
        """The first bytes that were read: enough to tell what the file claims to be."""
        if self._seekable:
            source.seek(0)

    def check(self) -> None:
        """Raise `DecodeCancelled`, or what the source raised."""
        if self._cancelled is not None and self._cancelled.is_set():
            raise DecodeCancelled
        if self._failure is not None:
            raise self._failure

    def read(self, size: int) -> bytes:
        if self._stopped():
            return b""
        try:
            data = bytes(self._source.read(size) or b"")
        except Exception as failure:  # noqa: BLE001 - `check` delivers it
            self._failure = failure
            return b""
        if not self.head:
            self.head = data[:64]
        return data[:size]

    def seek(self, offset: int, whence: int = 0) -> int:
        if self._stopped():
            return -1
        try:
            return self._source.seek(offset, whence)
        except Exception as failure:  # noqa: BLE001 - `check` delivers it
            self._failure = failure
            return -1

    def tell(self) -> int:
        return self._source.tell()

    def seekable(self) -> bool:
        return self._seekable

    def _stopped(self) -> bool:
        return self._failure is not None or (self._cancelled is not None and self._cancelled.is_set())
