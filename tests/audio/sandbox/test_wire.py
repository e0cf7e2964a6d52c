from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from steno.audio.container import AcceptedFormats
from steno.audio.sandbox.wire import (
    HEAD_BYTES,
    MAX_PAYLOAD_BYTES,
    DecodeJob,
    MessageKind,
    SandboxProtocolError,
    send,
    unpack_head,
)


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_message_is_its_kind_its_size_and_its_payload(sockets: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sockets
    send(ours, MessageKind.DATA, b"abc")
    assert theirs.recv(100) == b"\x04\0\0\0\x03abc"


def test_a_job_comes_out_as_it_went_in() -> None:
    file = DecodeJob(size=10, max_seconds=3.5, chunk_s=0.1)
    stream = DecodeJob(None, live=AcceptedFormats("ogg", "opus", 4, {"probesize": "32"}, "stream", "Send Ogg."))
    for job in (file, stream):
        assert DecodeJob.unpack(job.pack()) == job


@pytest.mark.parametrize("head", [b"\0\0\0\0\0", b"\xff\0\0\0\0", b"\x04\xff\xff\xff\xff"])
def test_what_is_no_message_is_refused_before_anything_is_allocated(head: bytes) -> None:
    assert len(head) == HEAD_BYTES
    with pytest.raises(SandboxProtocolError):
        unpack_head(head)


def test_a_payload_that_the_other_side_would_refuse_is_not_sent(
    sockets: tuple[socket.socket, socket.socket],
) -> None:
    with pytest.raises(SandboxProtocolError, match="1048577 bytes"):
        send(sockets[0], MessageKind.DATA, bytes(MAX_PAYLOAD_BYTES + 1))


def test_a_job_that_is_no_json_object_is_refused() -> None:
    for payload in (b"\xff", b"[1]"):
        with pytest.raises(SandboxProtocolError):
            DecodeJob.unpack(payload)
