"""Diarization of streams: what is told stays, whatever comes later."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from speakers.test_diarizer import EMBEDDER, Audio, conversation, said
from steno.speakers.diarizer import Diarization
from steno.speakers.online_clusters import MAX_KEPT, OnlineClusters
from steno.speakers.online_diarizer import MAX_RECENT, OnlineDiarizer
from steno.speakers.stream_windows import StreamWindows
from steno.speakers.voice_clusters import SpeakerCount
from steno.speakers.voice_windows import HOP_S, WINDOW, WINDOW_S
from steno.types import SAMPLE_RATE

FRAME = 512
Span = tuple[float, float]


def hear(diarizer: OnlineDiarizer, audio: Audio, spans: Sequence[Span], frames: int = 24) -> list[Diarization]:
    """Feed the audio, `frames` at a time, and ask for each span once it was heard."""
    number = len(audio) // FRAME
    times = np.arange(number) * FRAME / SAMPLE_RATE
    voiced = np.any([(times >= start) & (times < end) for start, end in spans], axis=0)
    told: list[Diarization] = []
    for at in range(0, number, frames):
        until = min(at + frames, number)
        diarizer.hear(audio[at * FRAME : until * FRAME], at * FRAME, voiced[at:until])
        while len(told) < len(spans) and (spans[len(told)][1] <= times[until - 1] or until == number):
            told.append(diarizer.label(len(told), *spans[len(told)]))
    return told


def speakers_of(told: Sequence[Diarization]) -> list[str | None]:
    return [each.main_speaker for each in told]


# One woman says "weather" and "doctor", one man "market" and "meeting", another man "letter".
TWO = ("weather", "market", "doctor", "meeting")


def test_speakers_get_letters_as_they_come_and_returning_ones_are_recognised() -> None:
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    assert speakers_of(hear(diarizer, *conversation(*TWO, "letter", "weather"))) == ["A", "B", "A", "B", "C", "A"]
    assert diarizer.changes() == {}


@pytest.mark.parametrize("frames", [1, 7, 200])
def test_labels_do_not_depend_on_how_the_audio_is_split(frames: int) -> None:
    told = hear(OnlineDiarizer(EMBEDDER, SpeakerCount()), *conversation(*TWO), frames=frames)
    assert speakers_of(told) == ["A", "B", "A", "B"]


@pytest.mark.parametrize("seconds", [0.9, 1.4])
def test_a_new_speaker_whose_first_turn_is_short_is_another_at_once(seconds: float) -> None:
    audio, spans = conversation("weather", "market", "doctor", "market", "weather")
    spans[1] = (spans[1][0], spans[1][0] + seconds)
    assert speakers_of(hear(OnlineDiarizer(EMBEDDER, SpeakerCount()), audio, spans)) == ["A", "B", "A", "B", "A"]


def test_one_speaker_stays_one() -> None:
    told = hear(OnlineDiarizer(EMBEDDER, SpeakerCount()), *conversation(*["weather", "doctor"] * 4))
    assert set(speakers_of(told)) == {"A"}


def test_there_are_no_more_speakers_than_may_be() -> None:
    told = hear(OnlineDiarizer(EMBEDDER, SpeakerCount(1, 2)), *conversation(*TWO, "letter", "weather"))
    assert set(speakers_of(told)) == {"A", "B"}


def test_a_change_within_a_segment_is_found_within_a_quarter_second() -> None:
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    hear(diarizer, *conversation(*TWO))
    begin = 60 * SAMPLE_RATE
    woman, man = said("weather"), said("market")
    audio = np.concatenate([woman, man])
    audio = audio[: len(audio) // FRAME * FRAME]
    diarizer.hear(audio, begin, np.ones(len(audio) // FRAME, np.bool_))
    found = diarizer.label(9, 60.0, 60.0 + len(audio) / SAMPLE_RATE)
    assert [found.names[turn.speaker] for turn in found.turns] == ["A", "B"]
    assert found.turns[0].end_s == pytest.approx(60 + len(woman) / SAMPLE_RATE, abs=0.25)


def voiced_only(*names: str) -> Audio:
    """Recordings without their pauses."""
    audio = np.concatenate([said(name) for name in names])
    frames = audio[: len(audio) // FRAME * FRAME].reshape(-1, FRAME)
    return frames[np.abs(frames).max(axis=1) > 0.02].reshape(-1)


def test_segments_that_follow_each_other_without_a_pause_are_heard_apart() -> None:
    woman, man = voiced_only("weather", "doctor"), voiced_only("market", "meeting")
    size = 32 * FRAME  # 1.024 s, less than a window
    audio = np.concatenate([voice[at : at + size] for at in range(0, 8 * size, size) for voice in (woman, man)])
    ends_s = [(n + 1) * size / SAMPLE_RATE for n in range(16)]
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    told: list[Diarization] = []
    for at in range(0, len(audio), 24 * FRAME):
        part = audio[at : at + 24 * FRAME]
        for end_s in ends_s:
            if at < end_s * SAMPLE_RATE <= at + len(part):
                diarizer.end_segment(end_s)
        diarizer.hear(part, at, np.ones(len(part) // FRAME, np.bool_))
        while len(told) < 16 and ends_s[len(told)] * SAMPLE_RATE <= at + len(part):
            told.append(diarizer.label(len(told), ([0.0, *ends_s])[len(told)], ends_s[len(told)]))
    assert None not in speakers_of(told)
    assert speakers_of(told)[4:] == ["A", "B"] * 6
    assert len(diarizer._clusters._vectors) == 16


def test_a_cut_in_audio_that_was_heard_leaves_both_segments_a_speaker() -> None:
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    audio = voiced_only("weather")[: 100 * FRAME]
    diarizer.hear(audio, 0, np.ones(100, np.bool_))
    diarizer.end_segment(2.7)
    assert speakers_of([diarizer.label(0, 0.0, 2.7), diarizer.label(1, 2.7, 3.2)]) == ["A", "A"]
    assert diarizer.label(2, 3.2, 3.3) == Diarization((), ())


def test_speech_is_counted_once_however_often_it_is_flushed() -> None:
    diarizer = OnlineDiarizer(Constant(), SpeakerCount())
    audio = np.ones(8 * FRAME, np.float32)
    for n in range(40):
        diarizer.hear(audio, n * len(audio), np.ones(8, np.bool_))
        found = diarizer.label(n, n * 0.256, (n + 1) * 0.256)
        assert [(turn.start_s, turn.end_s) for turn in found.turns] == [pytest.approx((n * 0.256, (n + 1) * 0.256))]
    assert diarizer._clusters._speech_s == pytest.approx(10.24)
    assert len(diarizer._clusters._vectors) == 40


def test_what_is_no_speech_founds_no_speaker() -> None:
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    noise = np.random.default_rng(1).normal(0, 0.1, 4 * SAMPLE_RATE).astype(np.float32)
    diarizer.hear(noise, 0, np.ones(len(noise) // FRAME, np.bool_))
    diarizer.drop(0.0, 4.0)
    audio, spans = conversation(*TWO)
    moved = [(start + 4.0, end + 4.0) for start, end in spans]
    told = hear(diarizer, np.concatenate([noise * 0, audio]), moved)
    assert speakers_of(told) == ["A", "B", "A", "B"]


def test_silence_and_a_blip_have_no_speaker() -> None:
    diarizer = OnlineDiarizer(EMBEDDER, SpeakerCount())
    diarizer.hear(np.zeros(SAMPLE_RATE, np.float32), 0, np.zeros(31, np.bool_))
    assert diarizer.label(0, 0.0, 1.0) == Diarization((), ())


# --- clusters, of vectors that are made ---


def voices(*similarities: float, seed: int = 0) -> list[NDArray[np.float32]]:
    """Unit vectors with these cosines to the first."""
    first, *others = np.linalg.qr(np.random.default_rng(seed).normal(size=(256, len(similarities) + 1)))[0].T
    mixed = [
        cosine * first + np.sqrt(1 - cosine**2) * other for cosine, other in zip(similarities, others, strict=True)
    ]
    return [np.float32(first), *(np.float32(each) for each in mixed)]


class Talk:
    """Segments of single voices, told one after the other."""

    def __init__(self, count: SpeakerCount | None = None) -> None:
        self.clusters = OnlineClusters(EMBEDDER.thresholds, 256, count or SpeakerCount())
        self._rng = np.random.default_rng(3)
        self._at_s = 0.0
        self._segments = 0

    def says(self, voice: NDArray[np.float32], seconds: float) -> int:
        """The number of the voice that it is told as."""
        windows = max(1, round((seconds - WINDOW_S) / HOP_S) + 1)
        vectors = voice + self._rng.normal(0, 0.02, (windows, 256)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        starts = self._at_s + HOP_S * np.arange(windows)
        self.clusters.add(vectors, np.stack([starts, starts + min(seconds, WINDOW_S)], axis=1))
        self.clusters.cluster([(self._at_s, self._at_s + seconds)])
        cluster = int((vectors @ self.clusters.centroids.T).mean(axis=0).argmax())
        told = self.clusters.voice(cluster)
        self.clusters.tell(self._segments, self._at_s, self._at_s + seconds)
        self._segments += 1
        self._at_s += seconds + 5.0
        return told


def test_voices_beyond_the_networks_threshold_are_two_and_others_are_one() -> None:
    (first, similar, other) = voices(0.9, 0.6)
    talk = Talk()
    assert [talk.says(voice, 6.0) for voice in (first, other, similar, other, first)] == [0, 1, 0, 1, 0]


def test_a_short_unsure_stretch_gets_the_nearest_label_and_is_corrected_once_the_voice_is_known() -> None:
    (first, other) = voices(0.6)
    talk = Talk()
    assert talk.says(first, 20.0) == 0
    assert talk.says(other, 0.6) == 0
    assert talk.clusters.changes() == []
    assert talk.says(other, 8.0) == 1
    assert talk.clusters.changes() == [(1, 1)]
    assert talk.clusters.changes() == []
    assert talk.says(first, 4.0) == 0


@pytest.mark.parametrize("seconds", [0.8, 1.6])
def test_a_new_voice_has_a_label_of_its_own_from_its_first_short_turn(seconds: float) -> None:
    (first, other, third) = voices(0.6, 0.5)
    talk = Talk()
    said = (first, 20.0), (other, seconds), (first, 4.0), (third, seconds), (other, seconds), (third, 8.0), (other, 8.0)
    assert [talk.says(*each) for each in said] == [0, 1, 0, 2, 1, 2, 1]
    assert talk.clusters.changes() == []


@pytest.mark.parametrize(("likeness", "expected"), [(0.7, 0), (0.6, 1)])
@pytest.mark.parametrize("seconds", [1.0, 1.6])
def test_a_turn_of_any_length_is_a_new_voice_if_it_is_clearly_unlike_what_was_heard(
    likeness: float, expected: int, seconds: float
) -> None:
    (first, other) = voices(likeness)
    talk = Talk()
    assert [talk.says(first, 20.0), talk.says(other, seconds)] == [0, expected]


def test_a_short_turn_is_no_voice_too_many() -> None:
    (first, other) = voices(0.5)
    talk = Talk(SpeakerCount(1, 1))
    assert [talk.says(first, 6.0), talk.says(other, 1.6)] == [0, 0]


def test_a_known_number_is_found_once_there_was_enough_speech() -> None:
    (first, similar) = voices(0.9)
    talk = Talk(SpeakerCount(2, 2))
    told = [talk.says(voice, 10.0) for _ in range(5) for voice in (first, similar)]
    assert told[:5] == [0] * 5
    assert told[-4:] in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_hours_take_no_more_memory_and_a_voice_that_was_silent_for_long_is_recognised() -> None:
    (first, other, rare) = voices(0.55, 0.5)
    talk = Talk()
    assert talk.says(rare, 8.0) == 0
    for _ in range(60):
        assert [talk.says(first, 60.0), talk.says(other, 60.0)] == [1, 2]
    assert talk.says(rare, 4.0) == 0
    assert len(talk.clusters._vectors) <= MAX_KEPT


# --- windows ---


def test_windows_are_those_of_a_recording_but_for_the_last() -> None:
    windows = StreamWindows()
    audio = np.arange(4 * SAMPLE_RATE, dtype=np.float32)
    voiced = np.zeros(len(audio) // FRAME, np.bool_)
    voiced[10:90] = True
    found, extents = windows.feed(audio[: len(voiced) * FRAME], 0, voiced)
    begin, end = 10 * FRAME, 90 * FRAME
    starts = [begin + n * 6000 for n in range(3)] + [end - WINDOW]
    assert [int(window[0]) for window in found] == starts
    assert extents[:, 0].tolist() == [start / SAMPLE_RATE for start in starts]
    assert windows.regions(0.0, 4.0) == [(begin / SAMPLE_RATE, end / SAMPLE_RATE)]
    assert windows.regions(1.0, 2.0) == [(1.0, 2.0)]


@pytest.mark.parametrize("seed", range(20))
def test_each_region_is_heard_wherever_segments_end_and_however_late_that_is_known(seed: int) -> None:
    rng = np.random.default_rng(seed)
    windows = StreamWindows()
    extents: list[tuple[float, float]] = []
    ends_s = np.sort(rng.uniform(0.0, 20.0, 80)).tolist()
    late_s, is_told, closed, at = float(rng.uniform(0.0, 2.0)), seed % 2, 0, 0
    while at < 20 * SAMPLE_RATE:
        frames = int(rng.integers(1, 30))
        now_s = (at + frames * FRAME) / SAMPLE_RATE
        for end_s in ends_s:
            if is_told and at / SAMPLE_RATE <= end_s + late_s / 2 < now_s:
                windows.end_segment(end_s)
        voiced = np.repeat(rng.random(-(-frames // 8)) < 0.97, 8)[:frames]
        found, heard = windows.feed(np.ones(frames * FRAME, np.float32), at, voiced)
        assert (found == 1.0).all()
        extents += map(tuple, heard.tolist())
        at += frames * FRAME
        while closed < len(ends_s) and ends_s[closed] + late_s < now_s:
            extents += map(tuple, windows.close_segment(ends_s[closed])[1].tolist())
            closed += 1
    extents += map(tuple, windows.close_segment(at / SAMPLE_RATE)[1].tolist())
    starts = [start_s for start_s, _ in extents]
    assert starts == sorted(starts)
    for start_s, end_s in windows.regions(0.0, 99.0):
        assert any(start < end_s and end > start_s for start, end in extents)
    assert all(0.0 < end - start < WINDOW_S + 1e-6 for start, end in extents)


def test_after_a_gap_a_new_region_begins() -> None:
    windows = StreamWindows(offset_s=10.0)
    audio = np.ones(SAMPLE_RATE // FRAME * FRAME, np.float32)
    voiced = np.ones(len(audio) // FRAME, np.bool_)
    windows.feed(audio, 0, voiced)
    found, _ = windows.feed(audio, 5 * SAMPLE_RATE, voiced)
    assert len(found) == 1  # the first region, repeated to fill a window
    seconds = len(audio) / SAMPLE_RATE
    assert windows.regions(0.0, 99.0) == [(10.0, 10.0 + seconds), (15.0, 15.0 + seconds)]


def test_audio_and_windows_that_nothing_asks_for_are_bounded() -> None:
    diarizer = OnlineDiarizer(Constant(), SpeakerCount())
    second = np.ones(SAMPLE_RATE // FRAME * FRAME, np.float32)
    voiced = np.ones(len(second) // FRAME, np.bool_)
    for n in range(400):
        diarizer.hear(second, n * len(second), voiced)
    assert len(diarizer._extents) == len(diarizer._embeddings) == MAX_RECENT
    assert len(diarizer._windows._audio) <= 2 * WINDOW


class Constant:
    """One voice."""

    dimension = EMBEDDER.dimension
    thresholds = EMBEDDER.thresholds

    def embed(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full((len(windows), self.dimension), self.dimension**-0.5, np.float32)
