"""Where one HTTP request ends and the next begins, and whether its head is within bounds. No socket, no clock.

RFC 9112. It stands in front of the server's own parser, which has no bounds: what passes is a head that was checked, or
a part of a body. It is stricter than a parser needs to be where two readings of the same bytes are possible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from steno.errors import HeadTooLargeError, MalformedRequestError, UrlTooLongError

MAX_HEAD_BYTES = 64 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_HEADER_LINES = 100
MAX_CHUNK_LINE_BYTES = 1024
"""The line before a chunk: its size, and extensions that have no meaning here."""

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.([01])\r\n")
_HEADER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00\r\n]*)\r\n")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r\n")
_DIGITS = re.compile(rb"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class BodyFraming:
    """How a request's body is delimited: `length` in bytes, or chunks."""

    length: int = 0
    is_chunked: bool = False


class RequestGate:
    """Bytes go in with `feed`; `take` gives a whole head, or a part of a body, or None where more bytes are needed.

    `at_head` says whether the next piece is a head: then the caller decides when the next request may begin.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._head = _HeadScan()
        self._left = 0
        """Bytes of the body, or of the chunk at hand with its line end."""
        self._in_chunks = False
        self._in_trailers = False

    @property
    def at_head(self) -> bool:
        return not (self._left or self._in_chunks or self._in_trailers)

    @property
    def pending(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> None:
        self._data += data

    def rest(self) -> bytes:
        """What was not taken: after an upgrade it is no HTTP."""
        return self._cut(len(self._data))

    def take(self) -> bytes | None:
        """The next piece.

        Raises:
            HeadTooLargeError, UrlTooLongError: the head is over a bound.
            MalformedRequestError: this is not HTTP/1.0 or 1.1, or it is ambiguous.
        """
        if not self._data:
            return None
        if self._left:
            return self._cut(min(self._left, len(self._data)), of_body=True)
        if self._in_chunks:
            return self._take_chunk_line()
        if self._in_trailers:
            return self._take_trailer()
        return self._take_head()

    def _take_head(self) -> bytes | None:
        size = self._head.scan(self._data)
        if size is None:
            return None
        head = self._cut(size)
        self._head = _HeadScan()
        body = body_of(head)
        self._left, self._in_chunks = body.length, body.is_chunked
        return head

    def _take_chunk_line(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("a chunk of the body does not begin with its size")
        size = int(match[1], 16)
        if size:
            self._left = size + 2
        else:
            self._in_chunks, self._in_trailers = False, True
        return self._cut(len(line))

    def _take_trailer(self) -> bytes | None:
        """Trailers are bounded like the head."""
        size = self._head.scan(self._data, is_trailer=True)
        if size is None:
            return None
        self._in_trailers = False
        self._head = _HeadScan()
        return self._cut(size)

    def _line(self) -> bytes | None:
        end = self._data.find(b"\n", 0, MAX_CHUNK_LINE_BYTES)
        if end < 0 and len(self._data) >= MAX_CHUNK_LINE_BYTES:
            raise MalformedRequestError(f"a chunk's first line is longer than {MAX_CHUNK_LINE_BYTES} bytes")
        return None if end < 0 else bytes(self._data[: end + 1])

    def _cut(self, size: int, *, of_body: bool = False) -> bytes:
        piece = bytes(self._data[:size])
        del self._data[:size]
        if of_body:
            self._left -= size
        return piece


class _HeadScan:
    """Looks at each byte of a head once, however it arrives."""

    def __init__(self) -> None:
        self._lines = 0
        self._line_at = 0

    def scan(self, data: bytearray, *, is_trailer: bool = False) -> int | None:
        """The head's size in bytes, once its empty line is there.

        Raises:
            HeadTooLargeError, UrlTooLongError, MalformedRequestError
        """
        while (end := data.find(b"\n", self._line_at)) >= 0:
            size = end + 1 - self._line_at
            self._check(size, end + 1, is_trailer)
            if data[end - 1 : end] != b"\r":
                raise MalformedRequestError("the lines of a request's head must end with CR LF")
            self._line_at = end + 1
            if size == 2 and (self._lines or is_trailer):
                return end + 1
            self._lines += size != 2
            if size == 2 and end + 1 > MAX_LINE_BYTES:
                raise MalformedRequestError("empty lines, and no request")
        self._check(len(data) - self._line_at, len(data), is_trailer)
        return None

    def _check(self, line_bytes: int, bytes_so_far: int, is_trailer: bool) -> None:
        if line_bytes > MAX_LINE_BYTES:
            if self._lines or is_trailer:
                raise HeadTooLargeError(f"a header may have {MAX_LINE_BYTES} bytes")
            text = f"an address may have {MAX_LINE_BYTES} bytes; long options such as 'prompt' may come in the body, "
            raise UrlTooLongError(text + "or in a live session's first message")
        if self._lines > MAX_HEADER_LINES or bytes_so_far > MAX_HEAD_BYTES:
            text = f"a request's head may have {MAX_HEADER_LINES} lines and {MAX_HEAD_BYTES} bytes"
            raise HeadTooLargeError(text)


def body_of(head: bytes) -> BodyFraming:
    """How the body after a complete head is delimited.

    Raises:
        MalformedRequestError: the head is no HTTP/1.0 or 1.1, names no host or several, or leaves open how long the
            body is.
    """
    request_line, *lines = head.lstrip(b"\r\n").splitlines(keepends=True)
    version = _REQUEST_LINE.fullmatch(request_line)
    if version is None:
        raise MalformedRequestError("the first line must be 'METHOD ADDRESS HTTP/1.1'; other versions are not spoken")
    headers = _headers_of(lines[:-1])
    hosts = headers.get(b"host", [])
    if len(hosts) > 1 or (not hosts and version[1] == b"1"):
        raise MalformedRequestError("a request needs one Host header")
    lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
    if codings:
        if lengths or version[1] == b"0" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise MalformedRequestError("a body has a Content-Length, or 'Transfer-Encoding: chunked', and not both")
        body = BodyFraming(is_chunked=True)
    elif not lengths:
        body = BodyFraming()
    elif len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]):
        body = BodyFraming(int(lengths[0]))
    else:
        raise MalformedRequestError("Content-Length must be one number")
    if b"upgrade" in headers and (body.length or body.is_chunked):
        raise MalformedRequestError("a request that upgrades its connection has no body")
    return body


def _headers_of(lines: list[bytes]) -> Mapping[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("a header must be 'Name: value' on one line")
        headers.setdefault(match[1].lower(), []).append(match[2].strip(b" \t"))
    return headers
