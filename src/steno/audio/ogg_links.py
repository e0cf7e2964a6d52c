"""Chained Ogg: several streams one behind the other in one file, as radio recorders and `cat` make them (RFC 3533, 4).

FFmpeg stops at the second link where its codec or its sample rate differs from the first's. Here the links are found
by their pages, and each is shown to FFmpeg as a file of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from steno.audio.signatures import OGG_PAGE
from steno.audio.source import MediaSource

_HEAD_BYTES = 27
_FIRST_PAGE = 2
"""A flag of a page's header: the first page of a logical stream."""

MAX_LINKS = 1000
"""A radio recording of a day has some hundred songs."""

_SEARCH_BYTES = 1 << 16


class SourceSlice:
    """Bytes [start, end) of a seekable source, as a source of their own."""

    def __init__(self, source: MediaSource, start: int, end: int) -> None:
        self._source = source
        self._start, self._end = start, end
        self._at = start

    def read(self, size: int, /) -> bytes:
        self._source.seek(self._at)
        data = bytes(self._source.read(min(size, self._end - self._at)) or b"") if self._at < self._end else b""
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        origin = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        self._at = max(origin + offset, self._start)
        return self._at - self._start

    def tell(self) -> int:
        return self._at - self._start

    def seekable(self) -> bool:
        return True


def links_of(source: MediaSource) -> Sequence[MediaSource]:
    """The links of a chained Ogg file, `MAX_LINKS` at most; any other source as it is.

    Reads the headers of all pages of an Ogg file, which for a reader with a buffer means all of the file, once.
    """
    if not source.seekable():
        return (source,)
    source.seek(0)
    if _read_exactly(source, len(OGG_PAGE)) != OGG_PAGE:
        return (source,)
    starts = _link_starts(source)
    if len(starts) < 2:
        return (source,)
    size = source.seek(0, os.SEEK_END)
    return [SourceSlice(source, start, end) for start, end in zip(starts, [*starts[1:], size], strict=True)]


def _link_starts(source: MediaSource) -> list[int]:
    """Where a first page follows a page that is not one: the first pages of all tracks of a link come together."""
    starts: list[int] = []
    at: int | None = 0
    was_first = False
    while at is not None and len(starts) < MAX_LINKS:
        source.seek(at)
        head = _read_exactly(source, _HEAD_BYTES)
        if not head.startswith(OGG_PAGE):
            at = _next_page(source, at)
            continue
        if len(head) < _HEAD_BYTES:
            break
        is_first = bool(head[5] & _FIRST_PAGE)
        if is_first and not was_first:
            starts.append(at)
        was_first = is_first
        lengths = _read_exactly(source, head[26])
        at += _HEAD_BYTES + len(lengths) + sum(lengths)
    return starts


def _read_exactly(source: MediaSource, size: int) -> bytes:
    """`size` bytes, fewer only at the end: a source may return less than it was asked for."""
    data = b""
    while len(data) < size and (part := bytes(source.read(size - len(data)) or b"")):
        data += part
    return data


def _next_page(source: MediaSource, at: int) -> int | None:
    """Behind bytes that are no page; None where there is none."""
    source.seek(at)
    tail = b""
    while block := bytes(source.read(_SEARCH_BYTES) or b""):
        found = (tail + block).find(OGG_PAGE)
        if found >= 0:
            return at - len(tail) + found
        at += len(block)
        tail = block[-len(OGG_PAGE) + 1 :]
    return None
