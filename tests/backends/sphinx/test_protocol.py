from __future__ import annotations

import asyncio
import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.backends.sphinx.child_protocol import (
    MAX_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    ChildProtocolError,
    Message,
    pack,
    read,
    receive,
)

VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=5)
MESSAGES = st.builds(Message, st.dictionaries(st.text(), VALUES), st.binary())


@given(st.lists(MESSAGES))
def test_messages_arrive_as_they_were_sent(messages: list[Message]) -> None:
    stream = io.BytesIO(b"".join(map(pack, messages)))
    assert [read(stream) for _ in messages] == messages
    assert read(stream) is None


@given(MESSAGES, st.data())
def test_a_message_that_breaks_off_is_the_end(message: Message, data: st.DataObject) -> None:
    whole = pack(message)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert read(io.BytesIO(whole[:cut])) is None


@pytest.mark.parametrize("sizes", [(MAX_HEADER_BYTES + 1, 0), (0, MAX_PAYLOAD_BYTES + 1), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_a_size_past_the_bounds_is_refused_before_it_is_read(sizes: tuple[int, int]) -> None:
    stream = io.BytesIO(struct.pack(">II", *sizes) + b"x" * 100)
    with pytest.raises(ChildProtocolError, match="exceeds"):
        read(stream)
    assert stream.tell() == 8


def test_what_the_other_side_would_refuse_is_not_sent() -> None:
    with pytest.raises(ChildProtocolError, match="exceeds"):
        pack(Message({}, bytes(MAX_PAYLOAD_BYTES + 1)))


@pytest.mark.parametrize("header", [b"oops", b"[1]", b"\xff"])
async def test_a_stray_print_is_an_error_and_not_a_reply(header: bytes) -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(struct.pack(">II", len(header), 0) + header)
    with pytest.raises(ChildProtocolError, match="not "):
        await receive(stream)


async def test_the_parent_reads_what_a_child_packs() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(pack(Message({"words": [["höhe", 0.5]]}, b"\0\1")))
    stream.feed_eof()
    assert await receive(stream) == Message({"words": [["höhe", 0.5]]}, b"\0\1")
    with pytest.raises(asyncio.IncompleteReadError):
        await receive(stream)
