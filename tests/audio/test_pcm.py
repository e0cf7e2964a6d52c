from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steno.audio.pcm import ENCODINGS, Encoding, PcmDecoder, decode_pcm, to_s16le


@given(data=st.binary(max_size=64), cuts=st.lists(st.integers(0, 64), max_size=8), encoding=st.sampled_from(ENCODINGS))
def test_frames_may_be_split_anywhere_even_inside_a_sample(data: bytes, cuts: list[int], encoding: Encoding) -> None:
    decoder = PcmDecoder(encoding)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [decoder.feed(data[a:b]) for a, b in itertools.pairwise(bounds)]
    whole = data[: len(data) - decoder.pending]
    assert decoder.pending == len(data) % {"pcm_s16le": 2, "pcm_f32le": 4}.get(encoding, 1)
    assert np.array_equal(np.concatenate(parts), decode_pcm(whole, encoding))


@given(st.binary(max_size=400), st.sampled_from(ENCODINGS))
def test_any_bytes_give_finite_samples_in_range(data: bytes, encoding: Encoding) -> None:
    audio = PcmDecoder(encoding).feed(data)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert (np.abs(audio) <= 1).all()


def test_sixteen_bit_samples_survive_the_way_there_and_back() -> None:
    every = np.arange(-32768, 32768).astype("<i2").tobytes()
    assert to_s16le(decode_pcm(every, "pcm_s16le")) == every


def test_encoding_clips_what_is_too_loud() -> None:
    assert np.frombuffer(to_s16le(np.array([1.0, 2.0, -1.0, -2.0], np.float32)), "<i2").tolist() == [
        32767,
        32767,
        -32768,
        -32768,
    ]


@pytest.mark.parametrize(
    ("encoding", "code", "value"),
    [
        ("mulaw", 0xFF, 0),
        ("mulaw", 0x7F, 0),
        ("mulaw", 0x80, 32124),
        ("mulaw", 0x00, -32124),
        ("mulaw", 0xFE, 8),
        ("alaw", 0xD5, 8),
        ("alaw", 0x55, -8),
        ("alaw", 0xAA, 32256),
        ("alaw", 0x2A, -32256),
    ],
)
def test_telephone_codes_have_the_values_of_the_standard(encoding: Encoding, code: int, value: int) -> None:
    assert decode_pcm(bytes([code]), encoding)[0] * 32768 == value


def test_what_is_not_a_number_is_silence_and_infinity_too() -> None:
    data = np.array([0.5, np.nan, np.inf, -np.inf, 3.0, -3.0], "<f4").tobytes()
    assert decode_pcm(data, "pcm_f32le").tolist() == [0.5, 0, 0, 0, 1, -1]


def test_reset_forgets_half_a_sample() -> None:
    decoder = PcmDecoder("pcm_s16le")
    decoder.feed(b"\x01")
    decoder.reset()
    assert decoder.feed(b"\x00\x40").tolist() == [0.5]


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(ValueError, match="pcm_s16le, pcm_f32le, mulaw, alaw, got 'opus'"):
        PcmDecoder("opus")
