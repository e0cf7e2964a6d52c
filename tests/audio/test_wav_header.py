"""Raw samples behind a header of ours, read by the decoder."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
import pytest

from steno.audio.decode import decode
from steno.audio.wav_header import HEADER_BYTES, RawFormat, wav_header

Encoding = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]


@pytest.mark.parametrize(
    ("encoding", "sample"),
    [("pcm_s16le", b"\x00\x40"), ("pcm_f32le", b"\x00\x00\x00\x3f"), ("mulaw", b"\x8f"), ("alaw", b"\xba")],
)
def test_the_decoder_reads_the_samples_behind_it(encoding: Encoding, sample: bytes) -> None:
    data = sample * 16_000
    header = wav_header(RawFormat(encoding, 8_000), len(data))
    assert len(header) == HEADER_BYTES
    audio = np.concatenate(list(decode(io.BytesIO(header + data), max_seconds=None)))
    assert len(audio) == pytest.approx(32_000, abs=400)
    assert np.median(audio) == pytest.approx(0.5, abs=0.03)


def test_more_samples_than_a_header_can_count_are_counted_as_the_most() -> None:
    assert wav_header(RawFormat("mulaw", 8_000), 2**40)[40:44] == (2**32 - 1 - HEADER_BYTES).to_bytes(4, "little")
