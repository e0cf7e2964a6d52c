"""Overlapping speech: found by the shipped network, and told as a second speaker."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from speakers.speaker_graphs import DATA, REFERENCE, SEGMENTATION, audio_of, two_at_once
from speakers.test_diarizer import EMBEDDER, Audio
from steno.onnx_session import open_session
from steno.speakers.diarizer import Diarizer
from steno.speakers.online_diarizer import OnlineDiarizer
from steno.speakers.overlap_detector import CHUNK, OverlapDetector, overlap_detector
from steno.speakers.second_speakers import second_turns
from steno.speakers.speaker_turns import SpeakerTurn
from steno.speakers.stream_overlaps import StreamOverlaps
from steno.speakers.voice_clusters import SpeakerCount
from steno.types import SAMPLE_RATE

FRAME = 512


def test_the_network_gives_the_classes_of_the_original() -> None:
    found = open_session(SEGMENTATION).run(None, {"audio": two_at_once()[None]})[0][0]
    np.testing.assert_allclose(found, np.load(REFERENCE)["classes"], atol=2e-2)


def test_the_checksum_in_the_readme_is_the_files() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(SEGMENTATION.read_bytes()).hexdigest() in readme


def test_overlapping_speech_is_found_where_it_is() -> None:
    end_s = len(audio_of("letter")) / SAMPLE_RATE
    found = overlap_detector().overlaps(two_at_once())
    inside_s = sum(min(end, end_s) - max(start, 1.5) for start, end in found if end > 1.5 and start < end_s)
    assert inside_s > 0.6 * (end_s - 1.5)
    assert sum(end - start for start, end in found) < inside_s + 0.3


def test_one_speaker_does_not_overlap_and_long_audio_is_read_in_chunks() -> None:
    alone = np.tile(audio_of("letter"), 5)
    assert overlap_detector().overlaps(alone) == []
    later = np.concatenate([alone[: CHUNK + 16_000], two_at_once()])
    (start_s, _), *_ = overlap_detector().overlaps(later)
    assert start_s == pytest.approx((CHUNK + 16_000) / SAMPLE_RATE + 1.5, abs=0.5)


@pytest.mark.parametrize("samples", [0, 100, 8_000])
def test_short_audio_has_no_overlap(samples: int) -> None:
    assert overlap_detector().overlaps(np.zeros(samples, np.float32)) == []


def test_the_second_speaker_is_the_other_voice() -> None:
    """One speaks alone, then both, then the other alone."""
    first, second = np.tile(audio_of("letter"), 2), np.tile(audio_of("meeting"), 2)
    joint = 2 * SAMPLE_RATE
    audio = np.concatenate([first, second[joint:]])
    audio[len(first) - joint : len(first)] += second[:joint]
    diarizer = Diarizer(EMBEDDER)
    diarizer.add(audio, 0.0, [(0.0, len(audio) / SAMPLE_RATE)])
    found = diarizer.finish(SpeakerCount())
    assert found.names == ("A", "B")
    starts = (len(first) - joint) / SAMPLE_RATE
    assert found.overlaps
    for turn in found.overlaps:
        assert starts - 0.3 < turn.start_s < turn.end_s < starts + 2.3
        main = next(each for each in found.turns if each.start_s <= turn.start_s < each.end_s)
        assert {main.speaker, turn.speaker} == {0, 1}


def test_parts_of_an_overlap_get_the_other_speaker_of_each_turn() -> None:
    turns = [SpeakerTurn(0.0, 2.0, 0, 1.0), SpeakerTurn(2.0, 4.0, 1, 1.0)]
    extents = np.array([(0.0, 1.5), (1.0, 2.5), (1.5, 3.0), (2.5, 4.0)])
    cosines = np.array([(0.8, 0.3, 0.1), (0.6, 0.5, 0.1), (0.5, 0.6, 0.1), (0.3, 0.8, 0.1)], np.float32)
    found = second_turns([(1.5, 2.5), (5.0, 6.0)], turns, extents, cosines, 0.1)
    assert [(turn.start_s, turn.end_s, turn.speaker) for turn in found] == [(1.5, 2.0, 1), (2.0, 2.5, 0)]
    assert second_turns([(1.5, 2.5)], turns, extents, cosines[:, :1], 0.1) == []


def streamed(audio: Audio, first_s: float, frames: int = 24) -> list[tuple[float, float]]:
    """What `StreamOverlaps` finds in a stream that begins at `first_s`, as one segment."""
    overlaps = StreamOverlaps(first_s)
    for begin in range(0, len(audio), frames * FRAME):
        overlaps.feed(audio[begin : begin + frames * FRAME], begin, is_voiced=True)
    end_s = first_s + len(audio) / SAMPLE_RATE
    overlaps.end_segment(end_s)
    return overlaps.between(first_s, end_s)


@pytest.mark.parametrize("frames", [1, 24, 400])
def test_a_stream_finds_what_a_recording_has(frames: int) -> None:
    audio = np.concatenate([np.tile(audio_of("letter"), 3)[: CHUNK + 16_000], two_at_once(), audio_of("meeting")])
    told = [(start, end) for start, end in overlap_detector().overlaps(audio) if end - start > 0.3]
    found = streamed(audio, 100.0, frames)
    assert sum(end - start for start, end in found) == pytest.approx(sum(end - start for start, end in told), abs=0.6)
    for start, end in told:
        joint = sum(max(0.0, min(end + 100, stop) - max(start + 100, begin)) for begin, stop in found)
        assert joint > 0.7 * (end - start)


def test_a_stream_forgets_what_finals_have_told_and_what_is_before_a_gap() -> None:
    overlaps, audio = StreamOverlaps(), two_at_once()
    overlaps.feed(audio, 0, is_voiced=True)
    overlaps.end_segment(len(audio) / SAMPLE_RATE)
    assert overlaps.between(0.0, 20.0)
    overlaps.forget_before(20.0)
    assert overlaps.between(0.0, 20.0) == []
    overlaps.feed(audio[:SAMPLE_RATE], 40 * SAMPLE_RATE, is_voiced=True)
    overlaps.end_segment(41.0)
    assert overlaps.between(0.0, 50.0) == [], "one speaker alone, in the second that follows the gap"


def test_the_second_speaker_of_a_stream_is_a_voice_that_was_told() -> None:
    """Each speaks alone, then both."""
    first, second = audio_of("letter"), audio_of("meeting")
    joint = min(len(first), len(second)) // FRAME * FRAME
    parts = [np.tile(first, 2), np.tile(second, 2), first[:joint] + second[:joint]]
    diarizer, begin, told = OnlineDiarizer(EMBEDDER, SpeakerCount()), 0, []
    for number, part in enumerate(parts):
        part = part[: len(part) // FRAME * FRAME]
        diarizer.hear(part, begin, np.ones(len(part) // FRAME, np.bool_))
        end = begin + len(part)
        told.append(diarizer.label(number, begin / SAMPLE_RATE, end / SAMPLE_RATE))
        begin = end + SAMPLE_RATE
    assert [found.names for found in told[:2]] == [("A",), ("B",)]
    assert not told[0].overlaps
    together = told[2]
    assert together.overlaps
    for turn in together.overlaps:
        main = next(each for each in together.turns if each.start_s <= turn.start_s < each.end_s)
        assert {together.names[main.speaker], together.names[turn.speaker]} == {"A", "B"}


def test_speech_that_was_heard_before_the_segment_before_it_ended_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short segments, whose finals come after both: recognition is behind. So is the end of a long segment."""
    monkeypatch.setattr(OverlapDetector, "overlaps", lambda _, audio: [(0.0, len(audio) / SAMPLE_RATE)])
    overlaps = StreamOverlaps()
    for begin, is_voiced in ((0, True), (SAMPLE_RATE, False), (2 * SAMPLE_RATE, True), (3 * SAMPLE_RATE, False)):
        overlaps.feed(np.zeros(SAMPLE_RATE, np.float32), begin, is_voiced=is_voiced)
    overlaps.end_segment(1.2)
    overlaps.end_segment(3.2)
    assert overlaps.between(2.0, 3.0) == [(2.0, 3.0)]
    for begin in range(4, 10):
        overlaps.feed(np.zeros(SAMPLE_RATE, np.float32), begin * SAMPLE_RATE, is_voiced=True)
    overlaps.feed(np.zeros(SAMPLE_RATE, np.float32), 10 * SAMPLE_RATE, is_voiced=False)
    overlaps.end_segment(10.2)
    assert sum(end - start for start, end in overlaps.between(4.0, 10.0)) == pytest.approx(6.0)
