"""Hostile clients, as bytes, for `benchmarks.hostile`. Each attack runs in a process of its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import SplitResult, urlsplit

CONNECT_S = GRACE_S = 5.0
FLOOD_BYTES = 64 * 1024
"""One write of a flood holds about so many bytes."""
JSON_BYTES, APPEND_BYTES = 14 * 2**20, 4_000_000
"""The latter is as long as the server takes it."""
DRIPPING, DRIP_S = 40, 0.5
HELD = 1100
"""Connections that an attack holds open: more than the server's default `MAX_CONNECTIONS`."""
REALTIME = "/v1/realtime?intent=transcription"


@dataclass(frozen=True, slots=True)
class Attack:
    name: str
    run: Callable[[SplitResult, float], None]
    """Attacks the server at an address for so many seconds."""


def _flood(address: SplitResult, seconds: float, opening: bytes, flood: bytes, first: bytes = b"") -> None:
    """Send `opening`, `first`, and `flood` again and again without reading; connect again when the server hangs up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), _connected(address, opening) as client:
            client.sendall(first)
            while time.monotonic() < until:
                client.sendall(flood)


def _hold(address: SplitResult, seconds: float, opening: bytes) -> None:
    """Open many connections that send the beginning of a request, and keep them open."""
    until = time.monotonic() + seconds
    sockets: list[socket.socket] = []
    while len(sockets) < HELD and time.monotonic() < until:
        with contextlib.suppress(OSError):
            client = socket.create_connection((address.hostname, address.port), CONNECT_S)
            sockets.append(client)
            client.sendall(opening)
    time.sleep(max(until - time.monotonic(), 0.0))
    for client in sockets:
        client.close()


def _drip(address: SplitResult, seconds: float) -> None:
    """Keep uploads open with a byte of body at intervals."""
    head = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    sockets = [_connected(address, head) for _ in range(DRIPPING)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for client in sockets:
            with contextlib.suppress(OSError):
                client.sendall(b"x")
        time.sleep(DRIP_S)
    for client in sockets:
        client.close()


def _connected(address: SplitResult, opening: bytes) -> socket.socket:
    client = socket.create_connection((address.hostname, address.port), CONNECT_S)
    client.sendall(opening)
    if b"Upgrade: websocket" in opening:
        client.recv(4096)  # frames before the 101 would be no frames
    return client


def _handshake(path: str, header: bytes = b"") -> bytes:
    return (
        b"GET " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + header + b"\r\n"
    )


def _frame(first: int, payload: bytes) -> bytes:
    """A client's frame (RFC 6455, 5.2) with a mask of zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2)
    else:
        length = b"\xff" + size.to_bytes(8)
    return bytes([first]) + length + bytes(4) + payload


def _repeated(unit: bytes) -> bytes:
    return unit * (FLOOD_BYTES // len(unit))


def _over_http(name: str, opening: bytes, unit: bytes) -> Attack:
    return Attack(name, partial(_flood, opening=opening, flood=_repeated(unit)))


def _over_socket(name: str, first: bytes, unit: bytes, path: str = "/ws/transcribe") -> Attack:
    return Attack(name, partial(_flood, opening=_handshake(path), first=first, flood=unit))


_GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
_OBJECTS = b"{}," * (JSON_BYTES // 3) + b"{}"
_APPEND = b'{"type":"input_audio_buffer.append","audio":'

ATTACKS = (
    _over_http("header_lines", _GET, b"a:b\r\n"),
    _over_http("pipelined", b"", _GET + b"\r\n"),
    _over_http("long_header", _GET + b"a: ", b"x"),
    _over_http("long_url", b"GET /", b"x"),
    _over_http("tiny_chunks", b"POST /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n",
               b"1\r\nx\r\n"),
    _over_socket("pings", b"", _repeated(_frame(0x89, b""))),
    _over_socket("empty_fragments", _frame(0x01, b""), _repeated(_frame(0x00, b""))),
    _over_socket("tiny_fragments", _frame(0x02, b"x"), _repeated(_frame(0x00, b"x"))),
    _over_socket("tiny_messages", b"", _repeated(_frame(0x82, b"x"))),
    _over_socket("bad_utf8", b"", _repeated(_frame(0x81, b"\xff"))),
    _over_socket("giant_json", b"", _frame(0x81, b'{"action":[' + _OBJECTS + b"]}")),
    _over_socket("giant_append", b"", _frame(0x81, _APPEND + b'"' + b"A" * APPEND_BYTES + b'"}'), REALTIME),
    _over_socket("giant_append_of_objects", b"", _frame(0x81, _APPEND + b"[" + _OBJECTS + b"]}"), REALTIME),
    Attack("silent_sockets", partial(_hold, opening=b"GET")),
    Attack("long_handshakes", partial(_hold, opening=_handshake("/ws/transcribe?prompt=" + "x" * 9000))),
    Attack("slow_bodies", _drip),
)  # fmt: skip


@contextmanager
def attacked(url: str, name: str, seconds: float) -> Iterator[None]:
    """Run the attack while the context is open, in a process of its own, so that it does not disturb measurements."""
    process = multiprocessing.get_context("spawn").Process(target=_run, args=(name, url, seconds))
    process.start()
    try:
        yield
    finally:
        process.join(seconds + GRACE_S)
        if process.is_alive():
            process.kill()
            process.join()


def _run(name: str, url: str, seconds: float) -> None:
    attack = next(attack for attack in ATTACKS if attack.name == name)
    attack.run(urlsplit(url), seconds)
