"""Ranges of a recording are what decoding all of it gives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from steno.audio.decode import decode
from steno.audio.sandbox.decoder_pool import DecoderPool
from steno.errors import NotAudioError
from steno.pipelines.audio_spans import AudioSpans
from steno.pipelines.recording_reader import RecordingOpener, RecordingReaderSettings
from steno.types import SAMPLE_RATE


async def test_ranges_are_those_of_the_whole_recording(fixtures: Path) -> None:
    whole = np.concatenate(list(decode(fixtures / "address.opus", max_seconds=None)))
    opener = RecordingOpener(RecordingReaderSettings())
    async with AudioSpans(opener, fixtures / "address.opus") as spans:
        for start_s, end_s in [(0.0, 0.5), (3.25, 9.0), (3.25, 4.0), (40.0, 41.5), (66.0, 100.0), (99.0, 100.0)]:
            audio = await spans.read(start_s, end_s)
            assert np.array_equal(audio, whole[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)])
    await opener.aclose()


async def test_a_decoder_is_in_use_only_while_it_is_open(fixtures: Path) -> None:
    opener = RecordingOpener(RecordingReaderSettings(), DecoderPool(1))
    spans = AudioSpans(opener, fixtures / "address.opus")
    await spans.read(0.0, 1.0)
    assert opener.resources.free.locked()
    await spans.aclose()
    await spans.aclose()
    assert not opener.resources.free.locked()
    await opener.aclose()


async def test_a_read_that_is_cancelled_ends_with_its_recording(fixtures: Path) -> None:
    opener = RecordingOpener(RecordingReaderSettings(), DecoderPool(1))
    async with AudioSpans(opener, fixtures / "address.opus") as spans:
        reading = asyncio.create_task(spans.read(60.0, 61.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    assert not opener.resources.free.locked()
    await opener.aclose()


async def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "text.wav"
    file.write_text("no audio in here")
    opener = RecordingOpener(RecordingReaderSettings())
    async with AudioSpans(opener, file) as spans:
        with pytest.raises(NotAudioError):
            await spans.read(0.0, 1.0)
    await opener.aclose()
