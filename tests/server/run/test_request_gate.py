from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.errors import HeadTooLargeError, MalformedRequestError, StenoError, UrlTooLongError
from steno.server.run.request_gate import MAX_HEADER_LINES, MAX_LINE_BYTES, BodyFraming, RequestGate, body_of

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\nabc\r\n4;name=value\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n"


def head(*lines: bytes, request: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: x") -> bytes:
    return b"\r\n".join([request, *([host] if host else []), *lines, b"", b""])


def pieces(*parts: bytes) -> list[tuple[bytes, bool]]:
    """What comes out of the gate, and whether it was a head; each part is fed when all before it is taken."""
    gate, found = RequestGate(), []
    for part in parts:
        gate.feed(part)
        while True:
            at_head = gate.at_head
            piece = gate.take()
            if piece is None:
                break
            found.append((piece, at_head))
    return found


def heads(*parts: bytes) -> list[bytes]:
    return [piece for piece, is_head in pieces(*parts) if is_head]


def test_each_head_is_a_piece_of_its_own() -> None:
    assert pieces(GET + GET) == [(GET, True), (GET, True)]


def test_a_body_ends_where_its_length_says() -> None:
    assert pieces(POST + b"12345" + GET) == [(POST, True), (b"12345", False), (GET, True)]


def test_a_body_in_chunks_ends_after_its_trailers() -> None:
    assert heads(CHUNKED + CHUNKS + GET) == [CHUNKED, GET]
    assert b"".join(piece for piece, _ in pieces(CHUNKED + CHUNKS + GET)) == CHUNKED + CHUNKS + GET


@given(st.lists(st.sampled_from([GET, POST + b"12345", CHUNKED + CHUNKS]), max_size=5), st.data())
def test_the_pieces_do_not_depend_on_how_the_bytes_arrive(requests: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(requests)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert heads(*parts) == heads(stream)
    assert b"".join(piece for piece, _ in pieces(*parts)) == stream


@given(st.binary(max_size=2000))
def test_any_bytes_are_taken_refused_or_waited_for(data: bytes) -> None:
    try:
        taken = b"".join(piece for piece, _ in pieces(data))
    except StenoError:
        return
    assert data.startswith(taken)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"GET /" + b"x" * MAX_LINE_BYTES, UrlTooLongError),
        (b"GET / HTTP/1.1\r\na: " + b"x" * MAX_LINE_BYTES, HeadTooLargeError),
        (head(*[b"a: b"] * MAX_HEADER_LINES), HeadTooLargeError),
        (head(*[b"a: " + b"x" * 8000] * 9), HeadTooLargeError),
        (CHUNKED + b"0\r\n" + b"a: b\r\n" * 200, HeadTooLargeError),
        (CHUNKED + b"0" * 2000, MalformedRequestError),
        (b"\r\n" * 10_000, MalformedRequestError),
    ],
)
def test_what_is_over_a_bound_is_refused_before_it_is_complete(sent: bytes, error: type[StenoError]) -> None:
    with pytest.raises(error):
        pieces(sent)


def test_a_head_within_the_bounds_passes() -> None:
    longest = head(*[b"a: " + b"x" * 600] * (MAX_HEADER_LINES - 2))
    assert heads(longest) == [longest]


def test_a_long_head_in_single_bytes_costs_no_more_than_at_once() -> None:
    gate, began = RequestGate(), time.process_time()
    for byte in head(*[b"a: " + b" " * 8000 + b"x"] * 7):
        gate.feed(bytes([byte]))
        taken = gate.take()
    assert taken is not None
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n",
        head(host=b""),
        head(b"Host: y"),
        head(b"Content-Length: 5", b"Content-Length: 5"),
        head(b"Content-Length: +5"),
        head(b"Content-Length: 5, 5"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: gzip, chunked"),
        head(b"Transfer-Encoding: chunked", request=b"POST / HTTP/1.0"),
        head(b"Transfer-Encoding : chunked"),
        head(b" folded"),
        head(b"no colon"),
        head(b"a: b\rc: d"),
        head(b"Upgrade: websocket", b"Content-Length: 5"),
        CHUNKED + b"-5\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(sent: bytes) -> None:
    with pytest.raises(MalformedRequestError):
        pieces(sent)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (GET, BodyFraming()),
        (POST, BodyFraming(5)),
        (CHUNKED, BodyFraming(is_chunked=True)),
        (head(b"transfer-encoding:  Chunked "), BodyFraming(is_chunked=True)),
        (b"\r\n" + GET, BodyFraming()),
        (b"GET / HTTP/1.0\r\n\r\n", BodyFraming()),
    ],
)
def test_how_a_body_is_delimited(sent: bytes, body: BodyFraming) -> None:
    assert body_of(sent) == body
