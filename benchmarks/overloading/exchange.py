"""An upload's request, built once, and what is read of an answer to it. No client library: that took ten times the
server's own time for a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fuzzing.requests import CONTENT_TYPE, form_of

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    retry_after_s: float


def upload_of(file: Path, host: str) -> bytes:
    """The request's bytes; the connection is for it alone."""
    body = form_of([("response_format", "json")], file.read_bytes(), file.name)
    head = (
        f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {host}\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def answer_of(data: bytes | bytearray) -> Answer | None:
    """The response, once complete.

    Raises:
        ValueError: this is none.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[: end + 2])
    status, length, retry_after = (pattern.search(head) for pattern in (_STATUS, _LENGTH, _RETRY_AFTER))
    if status is None or length is None:
        raise ValueError(f"not an answer of the server: {head[:80]!r}")
    if len(data) < end + 4 + int(length[1]):
        return None
    return Answer(int(status[1]), float(retry_after[1]) if retry_after else 0.0)


def address_of(n: int, network: int) -> str:
    """The address of the n-th client: each has its own, as with a real server."""
    return f"127.{network}.{1 + n // 250 % 250}.{1 + n % 250}"
