"""A safe file-like object through which FFmpeg reads an upload."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from steno.audio.signatures import ID3

MAX_TAGS = 1000


class DecodeCancelled(Exception):
    """The caller set `cancelled`. Not a `StenoError`: the caller expects it, and no client is notified."""


class MediaSource(Protocol):
    """A binary file or file-like object. `seek` is called only if it is seekable."""

    def read(self, size: int, /) -> bytes | None: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...
    def seekable(self) -> bool: ...


@contextmanager
def opened(source: MediaSource | Path) -> Iterator[MediaSource]:
    """`source`, or the file at its path, which is closed afterwards."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


class GuardedReader:
    """A file-like object around `source` that never raises into FFmpeg and can stop it.

    - It has no name, so neither a path nor a misleading extension reaches FFmpeg.
    - Nothing is ever raised into FFmpeg's callbacks (PyAV stores such an exception per thread, where a later, unrelated
      call may raise it): a failed read and a cancellation look like the end of the file, which also ends probing at
      once, and `check` raises the cause.
    - A seekable source is read from its start, whatever its position. It is never closed.
    - ID3v2 tags before a seekable file are hidden: 200 KB with compressed frames can cost 2.3 GB and 17 s.
    """

    def __init__(self, source: MediaSource, cancelled: threading.Event | None = None) -> None:
        self._source = source
        self._cancelled = cancelled
        self._failure: Exception | None = None
        self._seekable = source.seekable()
        self.head = b""
        """The first bytes that were read, for format detection."""
        self._start = _after_tags(source) if self._seekable else 0
        if self._seekable:
            source.seek(self._start)
        if self._start:
            self.head = ID3

    def check(self) -> None:
        """Raise `DecodeCancelled`, or the source's exception."""
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
        if self.head in (b"", ID3):
            self.head = data[:64] or self.head
        return data[:size]

    def seek(self, offset: int, whence: int = 0) -> int:
        if self._stopped():
            return -1
        try:
            return self._source.seek(offset + self._start if whence == 0 else offset, whence) - self._start
        except Exception as failure:  # noqa: BLE001 - `check` delivers it
            self._failure = failure
            return -1

    def tell(self) -> int:
        return self._source.tell() - self._start

    def seekable(self) -> bool:
        return self._seekable

    def _stopped(self) -> bool:
        return self._failure is not None or (self._cancelled is not None and self._cancelled.is_set())


def _after_tags(source: MediaSource) -> int:
    """Offset of the file behind its ID3v2 tags (id3.org, ID3v2.4.0 structure, 3.1)."""
    start = 0
    for _ in range(MAX_TAGS):
        source.seek(start)
        header = bytes(source.read(10) or b"")
        if len(header) < 10 or header[:3] != ID3 or max(header[3:5]) == 0xFF or max(header[6:]) > 0x7F:
            break
        footer = 10 if header[5] & 0x10 else 0
        start += 10 + footer + sum(byte << shift for byte, shift in zip(header[6:], (21, 14, 7, 0), strict=True))
    return start
