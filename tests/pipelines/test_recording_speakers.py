"""A recording's speakers beside its recognition: threads, failures, closing, memory."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from steno.audio.decode import decode
from steno.errors import ModelLoadError
from steno.pipelines.recording_reader import RecordingPiece
from steno.pipelines.recording_speakers import KnownSpeaker, RecordingSpeakers, SpeakerOptions
from steno.pipelines.speaker_model import SpeakerModel
from steno.speakers.embedder_source import EmbedderSource
from steno.types import SAMPLE_RATE, Segment


@pytest.fixture
def model() -> Iterator[SpeakerModel]:
    made = SpeakerModel()
    yield made
    made.close()


def piece_of(path: Path, start_s: float = 0.0) -> RecordingPiece:
    audio = np.concatenate(list(decode(path, max_seconds=None)))
    end_s = start_s + len(audio) / SAMPLE_RATE
    return RecordingPiece(audio, start_s, end_s, (start_s, end_s), end_s - start_s, ((start_s, end_s),))


async def added(speakers: RecordingSpeakers, *files: Path) -> list[Segment]:
    """Add the recordings as pieces; returns a segment for each."""
    segments = []
    at_s = 0.0
    for path in files:
        piece = piece_of(path, at_s)
        await speakers.add(piece)
        segments.append(Segment(len(segments), piece.start_s, piece.end_s, "one two three four five"))
        at_s = piece.end_s + 0.5
    return segments


async def test_segments_get_the_speakers_of_their_pieces(model: SpeakerModel, fixtures: Path) -> None:
    speakers = RecordingSpeakers(model, SpeakerOptions())
    segments = await added(speakers, *(fixtures / f"{name}.flac" for name in ("market", "weather", "meeting")))
    assert [segment.speaker for segment in await speakers.label(segments)] == ["A", "B", "A"]
    assert speakers.took_s > 0


async def test_a_known_voice_gives_its_name(model: SpeakerModel, fixtures: Path) -> None:
    known = (KnownSpeaker("Eve", piece_of(fixtures / "doctor.flac")),)
    speakers = RecordingSpeakers(model, SpeakerOptions(known=known))
    segments = await added(speakers, fixtures / "market.flac", fixtures / "weather.flac")
    assert [segment.speaker for segment in await speakers.label(segments)] == ["A", "Eve"]


async def test_a_network_that_cannot_be_loaded_is_reported_logged_and_counted(
    fixtures: Path, tmp_path: Path, logs: list[str]
) -> None:
    (tmp_path / "voice.onnx").write_text("no network")
    failures: list[None] = []
    model = SpeakerModel(EmbedderSource(str(tmp_path / "voice.onnx"), lambda: failures.append(None)))
    speakers = RecordingSpeakers(model, SpeakerOptions())
    await speakers.add(piece_of(fixtures / "letter.flac"))
    with pytest.raises(ModelLoadError, match=r"voice\.onnx cannot be loaded"):
        await speakers.label([])
    assert len(failures) == 1
    assert sum("the speaker embedder could not be loaded: SPEAKER_MODEL_ID: voice.onnx" in line for line in logs) == 1
    await speakers.aclose()
    model.close()


async def test_closing_waits_for_no_more_than_the_piece_in_progress(model: SpeakerModel, fixtures: Path) -> None:
    speakers = RecordingSpeakers(model, SpeakerOptions())
    await speakers.add(piece_of(fixtures / "market.flac"))
    async with asyncio.timeout(10):
        await speakers.aclose()
        await speakers.aclose()


async def test_audio_is_not_kept(model: SpeakerModel, fixtures: Path) -> None:
    speakers = RecordingSpeakers(model, SpeakerOptions())
    piece = piece_of(fixtures / "market.flac")
    audio = weakref.ref(piece.audio)
    await speakers.add(piece)
    del piece
    segments = await speakers.label([Segment(0, 0.0, 6.0, "shares")])
    gc.collect()
    assert segments[0].speaker == "A"
    assert audio() is None
