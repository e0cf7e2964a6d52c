"""What a connection may send before anything else has been checked, to a real server."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from running import PATIENCE_S, RunningServer, until

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture
def small() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", MAX_CONNECTIONS="3") as server:
        yield server


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def connect(server: RunningServer) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), PATIENCE_S)


def read_all(connection: socket.socket) -> bytes:
    """Until the server hangs up."""
    found = b""
    while part := connection.recv(65536):
        found += part
    return found


def exchange(server: RunningServer, *parts: bytes) -> Answer:
    """Send the parts one by one; the server is to answer and to hang up."""
    with connect(server) as connection:
        for part in parts:
            connection.sendall(part)
        head, _, body = read_all(connection).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split()[1]), headers, body)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "url_too_long"),
        (GET + b"a: " + b"x" * 9000 + b"\r\n\r\n", 431, "head_too_large"),
        (GET + b"a: b\r\n" * 200 + b"\r\n", 431, "head_too_large"),
        (GET + b"a: b\r\n" * 128 + UPGRADE + b"\r\n", 431, "head_too_large"),
        (b"GET /ws/transcribe?prompt=" + b"x" * 9000 + b" HTTP/1.1\r\n" + UPGRADE + b"\r\n", 414, "url_too_long"),
        (GET + b"Host: y\r\n\r\n", 400, "malformed_request"),
        (b"GET /health\r\n\r\n", 400, "malformed_request"),
    ],
    ids=["url", "header", "headers", "handshake headers", "handshake url", "two hosts", "HTTP/0.9"],
)  # fmt: skip
def test_a_head_over_its_bounds_is_answered_and_the_connection_closed(
    server: RunningServer, request_: bytes, status: int, code: str
) -> None:
    answer = exchange(server, request_)
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    body = json.loads(answer.body)
    assert (body["code"], body["statusCode"]) == (code, status)
    assert body["context"]["requestId"] == answer.headers["x-request-id"]
    until(lambda: answer.headers["x-request-id"] in server.log())


def test_the_refusal_is_read_by_a_client_that_goes_on_sending(server: RunningServer) -> None:
    answer = exchange(server, GET, *[b"a: b\r\n" * 1000] * 20)
    assert answer.status == 431


def test_requests_on_one_connection_are_answered_in_order(server: RunningServer) -> None:
    paths = ["/health", "/v1/models", "/ready", "/nothing"] * 5
    sent = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths[:-1])
    with connect(server) as connection:
        connection.sendall(sent + b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = read_all(connection)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answers) == [b"200", b"200", b"200", b"404"] * 5


def test_a_bad_request_after_a_good_one_comes_after_its_answer(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(GET + b"\r\nnonsense\r\n\r\n")
        answers = read_all(connection)
    assert answers.index(b"HTTP/1.1 200") == 0
    assert b"HTTP/1.1 400" in answers


def test_a_body_that_is_no_chunk_is_answered_once(server: RunningServer) -> None:
    head = b"POST /v1/models HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(head + b"3\r\nabc\r\nnonsense\r\n")
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 ") == 1
    assert re.match(rb"HTTP/1\.1 4\d\d", answers)


def test_a_frame_that_comes_with_the_handshake_is_not_lost(server: RunningServer) -> None:
    close = b"\x88\x82\0\0\0\0" + (1000).to_bytes(2)
    with connect(server) as connection:
        connection.sendall(b"GET /ws/transcribe HTTP/1.1\r\nHost: x\r\n" + UPGRADE + b"\r\n" + close)
        said = read_all(connection)
    assert said.startswith(b"HTTP/1.1 101")
    assert (b"\x88\x02" + (1000).to_bytes(2)) in said


@pytest.mark.parametrize("path", ["/ws/transcribe", "/v1/realtime", "/v1/listen?encoding=linear16&sample_rate=16000"])
def test_the_close_frame_is_read_by_a_client_that_goes_on_sending(server: RunningServer, path: str) -> None:
    not_utf8 = b"\x81\x81\0\0\0\0\xff"
    audio = b"\x82\xfe" + (60_000).to_bytes(2) + b"\0\0\0\0" + b"\x88" * 60_000
    with connect(server) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode() + UPGRADE + b"\r\n" + not_utf8)
        for _ in range(50):
            connection.sendall(audio)
        said = read_all(connection)
    assert said.startswith(b"HTTP/1.1 101")
    assert (b"\x88\x02" + (1007).to_bytes(2)) in said


def test_idle_connections_give_way_to_new_ones(small: RunningServer) -> None:
    silent = [connect(small) for _ in range(20)]
    assert small.health()["status"] == "ok"
    for connection in silent:
        connection.close()


def test_beyond_max_connections_a_request_is_refused_in_json(small: RunningServer) -> None:
    upload = (
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    busy = [connect(small) for _ in range(3)]
    for connection in busy:
        connection.sendall(upload)
    until(lambda: exchange(small, GET + b"Connection: close\r\n\r\n").status == 503)
    answer = exchange(small, GET + b"\r\n")
    assert (answer.status, json.loads(answer.body)["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    for connection in busy:
        connection.close()
    until(lambda: exchange(small, GET + b"Connection: close\r\n\r\n").status == 200)
