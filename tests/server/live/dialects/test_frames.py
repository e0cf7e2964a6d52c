from __future__ import annotations

import base64
import json

import pytest

from steno.server.live.dialects.base import LargeFrame
from steno.server.live.dialects.frames import DECODE_CHARS, MAX_JSON_BYTES, audio_of, take_apart

AUDIO = bytes(range(256)) * 2000
TEXT = base64.b64encode(AUDIO).decode()


@pytest.mark.parametrize(
    "frame",
    [
        json.dumps({"type": "input_audio_buffer.append", "audio": TEXT}),
        json.dumps({"audio": TEXT, "event_id": "e1", "type": "input_audio_buffer.append"}),
        json.dumps({"type": "input_audio_buffer.append", "audio": TEXT}, indent=4),
        json.dumps({"type": "input_audio_buffer.append", "audio": TEXT}).replace("/", "\\/"),
    ],
    ids=["first", "last", "indented", "escaped slashes"],
)
def test_audio_is_taken_out_and_the_rest_is_small_json(frame: str) -> None:
    apart = take_apart(frame)
    assert apart.audio == AUDIO
    assert {**json.loads(apart.rest), "audio": TEXT} == json.loads(frame)


@pytest.mark.parametrize(
    "frame",
    [
        "x" * 100_000,
        json.dumps({"type": "input_audio_buffer.append", "audio": [{}] * 100_000}),
        json.dumps({"type": "input_audio_buffer.append", "audio": TEXT, "event_id": "x" * MAX_JSON_BYTES}),
        json.dumps({"session": {"audio": {"input": "x" * 100_000}}}),
        '{"audio":' + " " * 100_000,
        '"audio"' * 20_000,
    ],
)
def test_a_long_frame_with_anything_else_in_it_is_not_parsed(frame: str) -> None:
    assert take_apart(frame) == LargeFrame("", None)


@pytest.mark.parametrize("text", ["é", "A", "AA==" + "A" * DECODE_CHARS, "A A=", "AAA=AAAA"])
def test_what_is_no_base64_is_found_out(text: str) -> None:
    assert audio_of(text) is None


def test_base64_of_any_length_is_decoded() -> None:
    for size in (0, 1, 2, 3, DECODE_CHARS, DECODE_CHARS + 1, 3 * DECODE_CHARS):
        assert audio_of(base64.b64encode(bytes(size)).decode()) == bytes(size)
