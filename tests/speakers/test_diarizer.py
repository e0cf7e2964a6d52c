"""Diarization of recordings that are put together from the shipped ones, whose speakers are known."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.conversing.remembering_embedder import RememberingEmbedder
from steno.audio.decode import decode
from steno.speakers.campplus import CampplusEmbedder
from steno.speakers.diarizer import Diarization, Diarizer, voice_of
from steno.speakers.speaker_turns import SpeakerTurn
from steno.speakers.voice_clusters import SpeakerCount
from steno.types import SAMPLE_RATE

Audio = NDArray[np.float32]
FIXTURES = Path(__file__).parent.parent / "fixtures"
EMBEDDER = RememberingEmbedder(CampplusEmbedder())
PAUSE_S = 0.4


def said(name: str) -> Audio:
    return np.concatenate(list(decode(FIXTURES / f"{name}.flac", max_seconds=None)))


def conversation(*names: str) -> tuple[Audio, list[tuple[float, float]]]:
    """The recordings, with pauses between them, and where each is."""
    parts: list[Audio] = []
    spans: list[tuple[float, float]] = []
    at = 0
    for name in names:
        audio = said(name)
        spans.append((at / SAMPLE_RATE, (at + len(audio)) / SAMPLE_RATE))
        parts += [audio, np.zeros(round(PAUSE_S * SAMPLE_RATE), np.float32)]
        at += len(audio) + round(PAUSE_S * SAMPLE_RATE)
    return np.concatenate(parts), spans


@cache
def diarizer_of(*names: str) -> Diarizer:
    audio, spans = conversation(*names)
    diarizer = Diarizer(EMBEDDER)
    diarizer.add(audio, 0.0, spans)
    return diarizer


def diarized(*names: str, count: SpeakerCount | None = None) -> tuple[Diarization, list[tuple[float, float]]]:
    return diarizer_of(*names).finish(count or SpeakerCount()), conversation(*names)[1]


def speakers_in(turns: tuple[SpeakerTurn, ...], span: tuple[float, float]) -> set[int]:
    return {turn.speaker for turn in turns if turn.start_s < span[1] and turn.end_s > span[0]}


# One woman says "weather" and "doctor", one man "market" and "meeting", another man "letter".
TWO = ("weather", "market", "doctor", "meeting")


def test_each_recording_has_one_speaker_and_returning_speakers_are_recognised() -> None:
    found, spans = diarized(*TWO)
    assert [speakers_in(found.turns, span) for span in spans] == [{0}, {1}, {0}, {1}]
    assert found.names == ("A", "B")


def test_three_speakers_are_three() -> None:
    found, spans = diarized(*TWO, "letter")
    assert [speakers_in(found.turns, span) for span in spans] == [{0}, {1}, {0}, {1}, {2}]


def test_one_speaker_is_one() -> None:
    found, _ = diarized("weather", "doctor")
    assert found.names == ("A",)


def test_a_change_without_a_pause_is_found_within_a_quarter_second() -> None:
    woman, man = said("weather"), said("market")
    audio = np.concatenate([woman, man])
    diarizer = Diarizer(EMBEDDER)
    diarizer.add(audio, 0.0, [(0.0, len(audio) / SAMPLE_RATE)])
    turns = diarizer.finish(SpeakerCount()).turns
    assert [turn.speaker for turn in turns] == [0, 1]
    assert turns[0].end_s == pytest.approx(len(woman) / SAMPLE_RATE, abs=0.25)


@pytest.mark.parametrize("names", [("weather", "doctor"), TWO, (*TWO, "letter")])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_number_of_speakers_is_what_the_caller_says(names: tuple[str, ...], number: int) -> None:
    found, _ = diarized(*names, count=SpeakerCount(number, number))
    assert len(found.names) == number


def test_limits_bound_the_number_of_speakers() -> None:
    assert len(diarized(*TWO, "letter", count=SpeakerCount(1, 2))[0].names) == 2
    assert len(diarized(*TWO, count=SpeakerCount(3, 9))[0].names) == 3


def test_a_speaker_with_an_enrolled_voice_has_its_name() -> None:
    sample = np.concatenate(list(decode(FIXTURES / "address.opus", max_seconds=None)))
    train = said("train")
    known = {
        "Ada": voice_of(EMBEDDER, sample, [(1.0, 5.0)]),  # the same woman, in another recording
        "Bo": voice_of(EMBEDDER, train, [(0, len(train) / SAMPLE_RATE)]),  # neither of the two
    }
    assert diarizer_of(*TWO).finish(SpeakerCount(), known).names == ("Ada", "A")


def test_pieces_give_what_the_whole_gives() -> None:
    audio, spans = conversation(*TWO)
    pieces = Diarizer(EMBEDDER)
    for start_s, end_s in spans:
        part = audio[round(start_s * SAMPLE_RATE) : round(end_s * SAMPLE_RATE)]
        pieces.add(part, start_s, [(start_s, end_s)])
    one, other = diarizer_of(*TWO).finish(SpeakerCount()).turns, pieces.finish(SpeakerCount()).turns
    assert [turn.speaker for turn in one] == [turn.speaker for turn in other]
    np.testing.assert_allclose([turn.end_s for turn in one], [turn.end_s for turn in other], atol=1e-2)


def test_a_recording_without_speech_has_no_speakers() -> None:
    assert Diarizer(EMBEDDER).finish(SpeakerCount()) == Diarization((), ())


def test_very_short_speech_has_a_speaker() -> None:
    diarizer = Diarizer(EMBEDDER)
    diarizer.add(said("letter")[:8000], 0.0, [(0.1, 0.4)])
    found = diarizer.finish(SpeakerCount(2, 2))
    assert [(turn.start_s, turn.end_s) for turn in found.turns] == [(0.1, 0.4)]


def test_an_enrolled_voice_needs_speech() -> None:
    with pytest.raises(ValueError, match="no speech"):
        voice_of(EMBEDDER, np.zeros(16_000, np.float32), [])
