"""Recordings and the decoders that they share."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from audio.bombs import flac_of_many_keys
from audio.encode import FLAC, encode, tone
from recordings import wav
from steno.audio.decode import MediaInfo
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.audio.sandbox.limits import DecoderLimits
from steno.backends.scripted import ScriptedBackend
from steno.engine.admission import AdmissionLimits
from steno.engine.local import local_engine
from steno.errors import DeadlineExceededError
from steno.pipelines.file import FileOptions, FileTranscription
from steno.pipelines.recording_reader import RecordingOpener, RecordingReader, RecordingReaderSettings
from steno.types import SAMPLE_RATE

PATIENCE_S = 30.0
SHORT = wav(tone(2, SAMPLE_RATE))
LONG = wav(np.random.default_rng(1).normal(0, 0.1, 90 * SAMPLE_RATE).astype(np.float32))
KEYS = flac_of_many_keys(encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, FLAC))
"""Takes a decoder half a minute before its first sample."""


@pytest.fixture
def decoder() -> Iterator[DecoderPool]:
    """One, and no limit on what it takes."""
    with contextlib.closing(DecoderPool(1, DecoderLimits(cpu_s=600))) as pool:
        yield pool


async def length_s(reader: RecordingReader) -> float:
    end_s = 0.0
    while (piece := await reader.read()) is not None:
        end_s = piece.end_s
    await reader.aclose()
    return end_s


async def test_recordings_beyond_the_decoders_wait_and_all_are_read(decoder: DecoderPool) -> None:
    source = RecordingOpener(RecordingReaderSettings(max_piece_s=10), decoder)
    async with asyncio.timeout(PATIENCE_S):
        lengths = await asyncio.gather(*(length_s(source.open(io.BytesIO(LONG))) for _ in range(4)))
    assert lengths == [90.0] * 4
    assert decoder.started == 1


async def test_a_recording_that_is_decoded_to_its_end_lets_the_next_one_in(decoder: DecoderPool) -> None:
    source = RecordingOpener(RecordingReaderSettings(), decoder)
    first, second = source.open(io.BytesIO(SHORT)), source.open(io.BytesIO(SHORT))
    async with asyncio.timeout(PATIENCE_S):
        assert await first.read() is not None
        assert await second.read() is not None, "though nothing has asked yet whether the first has more"
    await asyncio.gather(first.aclose(), second.aclose())


async def test_a_recording_that_is_given_up_in_the_middle_lets_the_next_one_in(decoder: DecoderPool) -> None:
    source = RecordingOpener(RecordingReaderSettings(max_piece_s=10), decoder)
    first, second = source.open(io.BytesIO(LONG)), source.open(io.BytesIO(SHORT))
    assert await first.read() is not None
    waiting = asyncio.create_task(second.read())
    third = source.open(io.BytesIO(SHORT))
    cancelled = asyncio.create_task(third.read())
    await asyncio.sleep(0)
    cancelled.cancel()
    assert not waiting.done()
    await first.aclose()
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting is not None
        await asyncio.gather(second.aclose(), third.aclose())


async def test_what_the_header_says_is_there_with_the_first_piece(fixtures: Path) -> None:
    source = RecordingOpener(RecordingReaderSettings())
    reader = source.open(fixtures / "weather.flac")
    assert reader.info is None
    await reader.read()
    assert reader.info == MediaInfo("flac", "flac", SAMPLE_RATE, 1, 4.4781875, is_exact=True)
    await reader.aclose()
    await source.aclose()


async def test_the_request_s_deadline_ends_its_decoder(decoder: DecoderPool) -> None:
    pieces = RecordingOpener(RecordingReaderSettings(), decoder)
    async with local_engine(ScriptedBackend(slots=1, step_s=0), AdmissionLimits(request_timeout_s=1.5)) as engine:
        async with engine.admit() as ticket:
            async with FileTranscription(pieces.open(io.BytesIO(KEYS)), ticket, FileOptions()) as run:
                opening = asyncio.create_task(run.open())
                while not decoder.pids:
                    await asyncio.sleep(0)
                (pid,) = decoder.pids
                with pytest.raises(DeadlineExceededError, match="before all of its audio was read"):
                    await opening
            assert not psutil.pid_exists(pid)
        assert await length_s(pieces.open(io.BytesIO(SHORT))) == 2.0
