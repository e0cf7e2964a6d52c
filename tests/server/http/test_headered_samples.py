"""Any read of samples behind a virtual header gives what the whole file would give."""

from __future__ import annotations

import io
import os

from hypothesis import given
from hypothesis import strategies as st

from steno.audio.wav_header import RawFormat, wav_header
from steno.server.http.headered_samples import HeaderedSamples

RAW = RawFormat("pcm_s16le", 16_000)


@given(st.binary(max_size=100), st.lists(st.tuples(st.integers(0, 160), st.one_of(st.just(-1), st.integers(0, 80)))))
def test_it_reads_as_the_whole_file_would(samples: bytes, reads: list[tuple[int, int]]) -> None:
    whole = io.BytesIO(wav_header(RAW, len(samples)) + samples)
    file = HeaderedSamples(io.BytesIO(samples), RAW)
    assert file.seek(0, os.SEEK_END) == whole.seek(0, os.SEEK_END)
    for offset, size in reads:
        assert file.seek(offset) == whole.seek(offset)
        assert file.read(size) == whole.read(size)
        assert file.tell() == whole.tell()
