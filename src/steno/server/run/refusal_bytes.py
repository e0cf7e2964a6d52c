"""Bytes that a connection sends without its parser: an error response, a WebSocket close frame, a ping."""

from __future__ import annotations

import uuid
from http import HTTPStatus

from loguru import logger

from steno.errors import StenoError
from steno.server.http.error_response import response_of
from steno.server.run.frame_gate import FrameError

PING = b"\x89\x00"
"""A WebSocket ping without payload. The parser ignores its pong, because it did not send the ping."""
CLOSE_FRAME = 0x88
"""First byte of a close frame (RFC 6455, 5.2)."""
MASKED_HEAD_BYTES = 6
"""Size of the head of a client's control frame (RFC 6455, 5.2)."""


def error_response_bytes(error: StenoError) -> bytes:
    """An HTTP/1.1 response that reports `error` and closes the connection. Logs the refusal."""
    request_id = uuid.uuid4().hex
    response = response_of(error, request_id)
    status = HTTPStatus(response.status_code)
    logger.bind(request_id=request_id).debug("refused a request with {} before parsing it: {}", status, error.message)
    lines = [f"HTTP/1.1 {status} {status.phrase}", "connection: close", "x-content-type-options: nosniff"]
    lines.append(f"x-request-id: {request_id}")
    lines += [f"{name.decode()}: {value.decode()}" for name, value in response.raw_headers]
    return "\r\n".join([*lines, "", ""]).encode() + bytes(response.body)


def close_frame_bytes(error: FrameError) -> bytes:
    """A WebSocket close frame with the error's code and reason."""
    payload = error.code.to_bytes(2) + error.reason.encode()
    return bytes([CLOSE_FRAME, len(payload)]) + payload


def is_close_frame(data: memoryview) -> bool:
    """Whether `data` is exactly one close frame of a client. The first byte is not enough: audio may begin with it."""
    return (
        len(data) >= MASKED_HEAD_BYTES and data[0] == CLOSE_FRAME and len(data) == MASKED_HEAD_BYTES + (data[1] & 0x7F)
    )
