from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from steno.server.run.frame_gate import MAX_CONTROL_FRAMES, MAX_FRAGMENTS, FrameError, FrameGate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def frame(opcode: Opcode, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client's library makes it."""
    return Frame(opcode, payload, fin=fin).serialize(mask=True)


def taken(gate: FrameGate, *parts: bytes) -> list[bytes]:
    found = []
    for part in parts:
        gate.feed(part)
        while (piece := gate.take()) is not None:
            found.append(piece)
    return found


def test_each_frame_is_a_piece_of_its_own() -> None:
    frames = [frame(Opcode.BINARY, bytes(size)) for size in (0, 1, 125, 126, 65535, 65536)]
    assert taken(FrameGate(Clock()), b"".join(frames)) == frames


@given(
    st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=300)), max_size=8),
    st.data(),
)
def test_no_byte_is_lost_however_they_arrive(messages: list[tuple[Opcode, bytes]], data: st.DataObject) -> None:
    stream = b"".join(frame(opcode, payload) for opcode, payload in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert b"".join(taken(FrameGate(Clock()), *parts)) == stream


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
def test_a_flood_of_control_frames_is_refused(opcode: Opcode) -> None:
    gate = FrameGate(Clock())
    taken(gate, frame(opcode) * MAX_CONTROL_FRAMES)
    with pytest.raises(FrameError) as refused:
        taken(gate, frame(opcode))
    assert refused.value.code == 1008


def test_a_client_that_pings_ten_times_a_second_is_let_be() -> None:
    clock = Clock()
    gate = FrameGate(clock)
    for _ in range(1000):
        clock.now += 0.1
        taken(gate, frame(Opcode.PING))


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_message_of_too_many_fragments_is_refused(payload: bytes) -> None:
    gate = FrameGate(Clock())
    taken(gate, frame(Opcode.TEXT, payload, fin=False), frame(Opcode.CONT, payload, fin=False) * (MAX_FRAGMENTS - 1))
    with pytest.raises(FrameError) as refused:
        taken(gate, frame(Opcode.CONT, payload, fin=False))
    assert refused.value.code == 1008


def test_fragments_are_counted_by_message() -> None:
    message = frame(Opcode.BINARY, b"x", fin=False) + frame(Opcode.CONT, b"x") * 100
    taken(FrameGate(Clock()), message * 100)


@pytest.mark.parametrize("fragments", [1, 4])
def test_a_text_message_over_its_limit_is_refused_before_its_payload_comes(fragments: int) -> None:
    gate = FrameGate(Clock())
    gate.max_text_bytes = 1000
    part = 1000 // fragments
    opcodes = [Opcode.TEXT, *[Opcode.CONT] * (fragments - 1)]
    taken(gate, *(frame(opcode, bytes(part), fin=False) for opcode in opcodes))
    with pytest.raises(FrameError) as refused:
        taken(gate, frame(Opcode.CONT, b"x")[:6])
    assert refused.value.code == 1009


def test_binary_messages_have_no_such_limit() -> None:
    gate = FrameGate(Clock())
    gate.max_text_bytes = 10
    taken(gate, frame(Opcode.BINARY, bytes(100)))
