from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steno.types import SAMPLE_RATE
from steno.vad.config import SegmenterConfig
from steno.vad.file_cutter import DroppedSilence, FileCutter, SpeechPiece
from steno.vad.levels import frame_levels
from steno.vad.silero import FRAME, SileroVad
from vad.listen import recording

SMALL = SegmenterConfig(
    min_speech_ms=64,
    pre_roll_ms=64,
    cut_silence_ms=64,
    search_from_s=1,
    max_s=1.5,
    pause_s=0.3,
    apart_s=0.4,
    drop_after_s=0.3,
)
"""Short enough that random sequences reach every rule."""

SPEECH, MUSIC, NOTHING = (0.9, -20.0), (0.1, -25.0), (0.0, -120.0)
"""(probability, level in dBFS)"""


def cut(
    *runs: tuple[int, tuple[float, float]], config: SegmenterConfig | None = None
) -> list[SpeechPiece | DroppedSilence]:
    probabilities = np.concatenate([np.full(count, kind[0], np.float32) for count, kind in runs])
    levels = np.concatenate([np.full(count, kind[1], np.float32) for count, kind in runs])
    cutter = FileCutter(config)
    return cutter.feed(probabilities, levels) + cutter.flush()


def test_a_short_file_is_one_piece() -> None:
    assert cut((20, MUSIC), (100, SPEECH), (20, MUSIC)) == [
        SpeechPiece(0, 140 * FRAME, "flush", (20 * FRAME, 120 * FRAME), 100)
    ]


def test_an_empty_file_has_none() -> None:
    assert FileCutter().flush() == []
    assert FileCutter().flush(100) == [SpeechPiece(0, 100, "flush", None)]


def test_a_long_piece_is_cut_in_the_middle_of_its_longest_late_pause() -> None:
    pieces = cut((400, SPEECH), (40, MUSIC), (360, SPEECH), (10, MUSIC), (40, SPEECH), (20, MUSIC), (200, SPEECH))
    assert pieces[0] == SpeechPiece(0, 860 * FRAME, "cut", (0, 850 * FRAME), 800)
    assert pieces[1].start == 860 * FRAME


def test_without_a_pause_it_is_cut_where_it_is_quietest() -> None:
    soft = (0.9, -45.0)
    assert cut((850, SPEECH), (5, soft), (300, SPEECH))[0].end == 851 * FRAME


def test_after_a_long_pause_a_piece_begins_with_the_speech() -> None:
    pieces = cut((100, SPEECH), (80, MUSIC), (100, SPEECH))
    assert pieces == [
        SpeechPiece(0, 170 * FRAME, "pause", (0, 100 * FRAME), 100),
        SpeechPiece(170 * FRAME, 280 * FRAME, "flush", (180 * FRAME, 280 * FRAME), 100),
    ]


def test_a_pause_of_less_than_two_seconds_does_not_end_a_piece() -> None:
    assert len(cut((100, SPEECH), (62, MUSIC), (100, SPEECH))) == 1


def test_music_between_speech_is_a_piece_of_its_own_and_stays() -> None:
    pieces = cut((100, SPEECH), (300, MUSIC), (100, SPEECH))
    assert [(piece.start // FRAME, piece.end // FRAME, piece.has_speech) for piece in pieces] == [
        (0, 110, True),
        (110, 390, False),
        (390, 500, True),
    ]


def test_a_short_prelude_stays_with_the_speech_and_a_long_one_does_not() -> None:
    assert len(cut((100, MUSIC), (100, SPEECH))) == 1
    assert [piece.end // FRAME for piece in cut((166, MUSIC), (100, SPEECH))] == [266]
    assert [piece.end // FRAME for piece in cut((167, MUSIC), (100, SPEECH))] == [157, 267]


def test_what_is_left_at_the_end_is_not_too_long_either() -> None:
    for count in range(930, 942):
        cutter = FileCutter()
        pieces = cutter.feed(np.full(count, 0.9, np.float32), np.full(count, -20, np.float32))
        pieces += cutter.flush(count * FRAME + FRAME - 1)
        assert max(piece.end - piece.start for piece in pieces) <= 30 * SAMPLE_RATE


def test_singing_that_the_vad_does_not_hear_stays_all_of_it() -> None:
    pieces = cut((10_000, MUSIC))
    assert sum(piece.end - piece.start for piece in pieces if isinstance(piece, SpeechPiece)) == 10_000 * FRAME
    assert not any(piece.has_speech for piece in pieces)


def test_digital_silence_is_dropped_but_for_its_edges() -> None:
    assert cut((100, SPEECH), (50, NOTHING), (100, SPEECH)) == [
        SpeechPiece(0, 110 * FRAME, "silence", (0, 100 * FRAME), 100),
        DroppedSilence(110 * FRAME, 140 * FRAME),
        SpeechPiece(140 * FRAME, 250 * FRAME, "flush", (150 * FRAME, 250 * FRAME), 100),
    ]


def test_digital_silence_of_less_than_a_second_stays() -> None:
    assert len(cut((100, SPEECH), (31, NOTHING), (100, SPEECH))) == 1


def test_a_file_of_nothing_is_dropped_whole_and_piece_by_piece() -> None:
    parts = cut((5000, NOTHING))
    assert all(isinstance(part, DroppedSilence) for part in parts)
    assert len(parts) == 6
    assert parts[-1].end == 5000 * FRAME


def test_faint_hiss_is_no_digital_silence() -> None:
    assert all(isinstance(piece, SpeechPiece) for piece in cut((5000, (0.0, -74.0))))


def test_real_speech_is_cut_in_its_pauses() -> None:
    audio = recording("address.opus")
    cutter = FileCutter()
    pieces = cutter.feed(SileroVad().feed(audio), frame_levels(audio)) + cutter.flush(len(audio))
    assert [(piece.reason, piece.end // SAMPLE_RATE) for piece in pieces] == [
        ("cut", 26),  # "… gave their lives that that nation might live." | "It is altogether …"
        ("pause", 36),  # 2.6 s of silence
        ("cut", 62),
        ("flush", 66),
    ]
    assert all(isinstance(piece, SpeechPiece) and piece.has_speech for piece in pieces)
    for piece in pieces[:-1]:
        around = audio[piece.end - 1600 : piece.end + 1600]
        assert np.sqrt(np.mean(around**2)) < 0.003  # the room's noise is at −66 dBFS


@st.composite
def files(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    kinds = st.sampled_from([SPEECH, MUSIC, NOTHING, (0.45, -30.0), (0.9, -100.0)])
    runs = draw(st.lists(st.tuples(st.integers(1, 70), kinds), max_size=12))
    probabilities = [kind[0] for count, kind in runs for _ in range(count)]
    levels = [kind[1] for count, kind in runs for _ in range(count)]
    return np.array(probabilities, np.float32), np.array(levels, np.float32)


@given(files(), st.integers(0, FRAME - 1))
def test_every_sample_is_in_one_piece_or_dropped_for_good_reason(
    file: tuple[np.ndarray, np.ndarray], rest: int
) -> None:
    probabilities, levels = file
    cutter = FileCutter(SMALL)
    total = len(levels) * FRAME + rest
    parts = cutter.feed(probabilities, levels) + cutter.flush(total)
    position = 0
    for part in parts:
        assert part.start == position < part.end
        position = part.end
        frames = slice(part.start // FRAME, part.end // FRAME)
        if isinstance(part, DroppedSilence):
            assert (levels[frames] < -75).all()
            continue
        assert part.end - part.start <= 1.5 * SAMPLE_RATE
        if part.voiced:
            assert part.start <= part.voiced[0] < part.voiced[1] <= part.end
            assert probabilities[part.voiced[0] // FRAME] >= 0.5 or part.voiced[0] == part.start
    assert position == total


@given(files(), st.lists(st.integers(0, 800)))
def test_any_split_of_the_frames_gives_the_same_pieces(file: tuple[np.ndarray, np.ndarray], cuts: list[int]) -> None:
    probabilities, levels = file
    whole, parted = FileCutter(SMALL), FileCutter(SMALL)
    bounds = [0, *sorted(min(at, len(levels)) for at in cuts), len(levels)]
    pieces = [p for a, b in itertools.pairwise(bounds) for p in parted.feed(probabilities[a:b], levels[a:b])]
    assert pieces + parted.flush() == whole.feed(probabilities, levels) + whole.flush()


@given(files())
def test_the_caller_may_let_go_of_what_is_settled_and_keeps_little(file: tuple[np.ndarray, np.ndarray]) -> None:
    cutter, settled = FileCutter(SMALL), 0
    for fed, (p, level) in enumerate(zip(*file, strict=True), start=1):
        for part in cutter.feed(np.array([p]), np.array([level])):
            assert isinstance(part, DroppedSilence) or part.start >= settled
        assert cutter.settled >= settled
        settled = cutter.settled
        assert fed * FRAME - settled <= 1.5 * SAMPLE_RATE + 2 * FRAME


def test_the_voiced_runs_of_a_piece_are_its_speech_without_the_pauses() -> None:
    (piece,) = cut((20, MUSIC), (100, SPEECH), (20, MUSIC), (50, SPEECH), (5, MUSIC))
    assert isinstance(piece, SpeechPiece)
    assert piece.voiced_runs == ((20 * FRAME, 120 * FRAME), (140 * FRAME, 190 * FRAME))


def test_runs_continue_in_the_next_piece_after_a_cut() -> None:
    pieces = [piece for piece in cut((1200, SPEECH)) if isinstance(piece, SpeechPiece)]
    assert [piece.voiced_runs for piece in pieces] == [((piece.start, piece.end),) for piece in pieces]
    assert len(pieces) == 2
