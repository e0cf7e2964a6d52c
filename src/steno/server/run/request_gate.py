"""Splits a connection's bytes into HTTP requests (RFC 9112) and bounds their heads. No socket, no clock.

The gate stands before the server's own parser, which has no bounds. It passes checked heads and parts of bodies, and
rejects ambiguous framing that a parser might accept.
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
"""Max length of the line before a chunk: its size, and extensions, which are ignored."""

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
    """Takes bytes with `feed`; `take` returns a whole head, a part of a body, or None if it needs more bytes.

    `at_head`: the next piece is a head; the caller decides when the next request may start.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._head = _HeadScan()
        self._remaining = 0
        """Remaining bytes of the body, or of the current chunk with its line end."""
        self._in_chunks = False
        self._in_trailers = False

    @property
    def at_head(self) -> bool:
        return not (self._remaining or self._in_chunks or self._in_trailers)

    @property
    def pending(self) -> int:
        """Bytes fed and not taken."""
        return len(self._data)

    def feed(self, data: bytes | memoryview) -> None:
        self._data += data

    def rest(self) -> bytes:
        """Take all remaining bytes. After an upgrade they are not HTTP."""
        return self._cut(len(self._data))

    def take(self) -> bytes | None:
        """Take the next piece.

        Raises:
            HeadTooLargeError, UrlTooLongError: the head exceeds a limit.
            MalformedRequestError: the bytes are not HTTP/1.0 or 1.1, or are ambiguous.
        """
        if not self._data:
            return None
        if self._remaining:
            return self._cut(min(self._remaining, len(self._data)), of_body=True)
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
        self._remaining, self._in_chunks = body.length, body.is_chunked
        return head

    def _take_chunk_line(self) -> bytes | None:
        line = self._line()
        if line is None:
            return None
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("invalid chunk; expected its size on the first line")
        size = int(match[1], 16)
        if size:
            self._remaining = size + 2
        else:
            self._in_chunks, self._in_trailers = False, True
        return self._cut(len(line))

    def _take_trailer(self) -> bytes | None:
        """Take the trailers. They have the limits of a head."""
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
            self._remaining -= size
        return piece


class _HeadScan:
    """Scans a head incrementally; reads each byte once."""

    def __init__(self) -> None:
        self._lines = 0
        self._line_at = 0

    def scan(self, data: bytearray, *, is_trailer: bool = False) -> int | None:
        """Return the head's size in bytes; None until its empty line has arrived.

        Raises:
            HeadTooLargeError, UrlTooLongError, MalformedRequestError
        """
        while (end := data.find(b"\n", self._line_at)) >= 0:
            size = end + 1 - self._line_at
            self._check(size, end + 1, is_trailer)
            if data[end - 1 : end] != b"\r":
                raise MalformedRequestError("invalid line end in the request's head; expected CR LF")
            self._line_at = end + 1
            if size == 2 and (self._lines or is_trailer):
                return end + 1
            self._lines += size != 2
            if size == 2 and end + 1 > MAX_LINE_BYTES:
                raise MalformedRequestError("too many empty lines before the request")
        self._check(len(data) - self._line_at, len(data), is_trailer)
        return None

    def _check(self, line_bytes: int, bytes_so_far: int, is_trailer: bool) -> None:
        if line_bytes > MAX_LINE_BYTES:
            if self._lines or is_trailer:
                raise HeadTooLargeError(f"a header is too long; the maximum is {MAX_LINE_BYTES} bytes")
            text = f"the URL is too long; the maximum is {MAX_LINE_BYTES} bytes; send long options such as 'prompt' in "
            raise UrlTooLongError(text + "the body, or in a live session's first message")
        if self._lines > MAX_HEADER_LINES or bytes_so_far > MAX_HEAD_BYTES:
            text = (
                f"the request's head is too large; the maximum is {MAX_HEADER_LINES} lines and {MAX_HEAD_BYTES} bytes"
            )
            raise HeadTooLargeError(text)


def body_of(head: bytes) -> BodyFraming:
    """Determine how the body after a complete head is delimited.

    Raises:
        MalformedRequestError: the head is not HTTP/1.0 or 1.1, has no or several hosts, or does not determine the
            body's length.
    """
    request_line, *lines = head.lstrip(b"\r\n").splitlines(keepends=True)
    version = _REQUEST_LINE.fullmatch(request_line)
    if version is None:
        raise MalformedRequestError("invalid request line; expected 'METHOD URL HTTP/1.1'; HTTP/1.0 is supported too")
    headers = _headers_of(lines[:-1])
    hosts = headers.get(b"host", [])
    if len(hosts) > 1 or (not hosts and version[1] == b"1"):
        raise MalformedRequestError("invalid Host; expected exactly one Host header")
    lengths, codings = headers.get(b"content-length", []), headers.get(b"transfer-encoding", [])
    if codings:
        if lengths or version[1] == b"0" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise MalformedRequestError(
                "invalid body length; expected either Content-Length or 'Transfer-Encoding: chunked'"
            )
        body = BodyFraming(is_chunked=True)
    elif not lengths:
        body = BodyFraming()
    elif len(lengths) == 1 and _DIGITS.fullmatch(lengths[0]):
        body = BodyFraming(int(lengths[0]))
    else:
        raise MalformedRequestError("invalid Content-Length; expected one number")
    if b"upgrade" in headers and (body.length or body.is_chunked):
        raise MalformedRequestError("a body is not supported in a request that upgrades its connection")
    return body


def _headers_of(lines: list[bytes]) -> Mapping[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for line in lines:
        match = _HEADER_LINE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("invalid header; expected 'Name: value' on one line")
        headers.setdefault(match[1].lower(), []).append(match[2].strip(b" \t"))
    return headers
