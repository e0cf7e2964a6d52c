from __future__ import annotations

import io
import threading
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
from loguru import logger

from audio.encode import (
    AC3,
    ADTS,
    FLAC,
    M4A,
    MKV,
    MP3,
    MP4,
    MPEG_TS,
    OPUS,
    WAVPACK,
    WEBM,
    Kind,
    encode,
    tone,
    wav,
    wav16,
)
from steno.audio.decode import MediaInfo, decode, probe
from steno.audio.mix import channel_weights
from steno.audio.pcm import decode_pcm
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

FIXTURES = Path(__file__).parents[1] / "fixtures"


def decoded(data: bytes | Path, **options: float) -> Audio:
    source = data if isinstance(data, Path) else io.BytesIO(data)
    return np.concatenate(list(decode(source, max_seconds=None, **options)))


@pytest.fixture(scope="module")
def speech() -> Audio:
    return decoded(FIXTURES / "weather.flac")


@pytest.fixture
def warnings_logged() -> list[str]:
    messages: list[str] = []
    sink = logger.add(lambda message: messages.append(message.record["message"]), level="WARNING")
    yield messages
    logger.remove(sink)


def lag_s(heard: Audio, said: Audio) -> float:
    """By how much `heard` comes later, within ±0.2 s, where they are most alike; and they must be alike."""
    size = min(len(heard), len(said))
    heard, said = heard[:size], said[:size]
    reach = SAMPLE_RATE // 5
    inner = said[reach:-reach]
    correlation = np.correlate(heard, inner, "valid")
    best = int(np.argmax(correlation))
    alike = correlation[best] / np.linalg.norm(inner) / np.linalg.norm(heard[best : best + len(inner)])
    assert alike > 0.9
    return (best - reach) / SAMPLE_RATE


def dominant_hertz(audio: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(audio))


@pytest.mark.parametrize(
    "kind", [FLAC, MP3, M4A, OPUS, WEBM, MP4, MKV], ids=lambda kind: f"{kind.codec}-{kind.container}"
)
def test_speech_comes_back_from_every_usual_container_at_its_own_time(kind: Kind, speech: Audio) -> None:
    heard = decoded(encode(speech, SAMPLE_RATE, kind))
    assert abs(lag_s(heard, speech)) < 0.003
    assert len(heard) / SAMPLE_RATE == pytest.approx(len(speech) / SAMPLE_RATE, abs=0.07)


@pytest.mark.parametrize("kind", [ADTS, MPEG_TS], ids=["adts", "mpegts"])
def test_streams_that_do_not_state_their_padding_are_off_by_no_more_than_that(kind: Kind, speech: Audio) -> None:
    assert abs(lag_s(decoded(encode(speech, SAMPLE_RATE, kind)), speech)) <= 0.065  # 1024 samples of AAC priming


@pytest.mark.parametrize("kind", [MP4, MKV, MPEG_TS], ids=["mp4", "mkv", "mpegts"])
def test_the_sound_of_a_video_is_decoded_and_its_pictures_are_not(kind: Kind, speech: Audio) -> None:
    heard = decoded(encode(speech, SAMPLE_RATE, kind, picture=True))
    assert abs(lag_s(heard, speech)) <= 0.065


@pytest.mark.parametrize(
    ("bits", "format_tag", "encoded", "tolerance"),
    [
        (8, 1, lambda x: np.round(x * 127 + 128).astype("u1").tobytes(), 1 / 100),
        (16, 1, lambda x: np.round(x * 32767).astype("<i2").tobytes(), 1e-4),
        (24, 1, lambda x: np.round(x * 8388607).astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes(), 1e-6),
        (32, 1, lambda x: np.round(x.astype("f8") * 2147483647).astype("<i4").tobytes(), 1e-6),
        (32, 3, lambda x: x.astype("<f4").tobytes(), 0),
        (64, 3, lambda x: x.astype("<f8").tobytes(), 0),
    ],
    ids=["8 bit", "16 bit", "24 bit", "32 bit", "float", "double"],
)
def test_wav_of_every_width_gives_the_same_samples(bits, format_tag, encoded, tolerance) -> None:
    said = tone(0.5, SAMPLE_RATE)
    heard = decoded(wav(encoded(said), bits=bits, format_tag=format_tag))
    assert np.abs(heard - said).max() <= tolerance


@pytest.mark.parametrize(("format_tag", "encoding"), [(7, "mulaw"), (6, "alaw")])
def test_telephone_codes_in_wav_are_read_as_in_a_raw_stream(format_tag: int, encoding: str) -> None:
    codes = bytes(range(256)) * 20
    heard = decoded(wav(codes, bits=8, format_tag=format_tag))
    assert np.array_equal(heard, decode_pcm(codes, encoding))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000])
def test_every_rate_keeps_pitch_level_and_length(rate: int) -> None:
    heard = decoded(wav16(tone(2, rate, hertz=1000), rate))
    assert len(heard) == 2 * SAMPLE_RATE
    assert dominant_hertz(heard) == pytest.approx(1000, abs=1)
    assert np.std(heard) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


def test_what_lies_above_the_new_nyquist_frequency_is_gone_and_not_folded_down() -> None:
    assert np.abs(decoded(wav16(tone(1, 48_000, hertz=12_000), 48_000))[1000:-1000]).max() < 0.001


@pytest.mark.parametrize("kind", [M4A, OPUS, AC3, FLAC], ids=["aac", "opus", "ac3", "flac"])
def test_surround_sound_is_mixed_without_clipping_and_the_centre_counts_most(kind: Kind) -> None:
    silent, voice = np.zeros(48_000, np.float32), tone(1, 48_000, level=0.9)
    centre = decoded(encode(np.stack([silent, silent, voice, silent, silent, silent]), 48_000, kind))
    left = decoded(encode(np.stack([voice, silent, silent, silent, silent, silent]), 48_000, kind))
    everywhere = decoded(encode(np.stack([voice] * 6), 48_000, kind))
    assert 0.9 * 0.25 < np.abs(centre[4000:-4000]).max() < 0.9 * 0.35
    assert np.abs(left[4000:-4000]).max() < np.abs(centre[4000:-4000]).max()
    assert 0.85 < np.abs(everywhere[4000:-4000]).max() <= 1


@pytest.mark.parametrize(
    ("kind", "channels"),
    [(FLAC, 8), (M4A, 8), (OPUS, 8), (WEBM, 8), (WAVPACK, 8), (M4A, 16), (WAVPACK, 37), (WAVPACK, 64)],
    ids=lambda value: f"{value.codec}-{value.container}" if isinstance(value, Kind) else str(value),
)
def test_eight_channels_and_more_are_read(kind: Kind, channels: int) -> None:
    heard = decoded(encode(np.stack([tone(1, 48_000)] * channels), 48_000, kind))
    assert np.std(heard[:SAMPLE_RATE]) == pytest.approx(0.354, abs=0.01)
    assert dominant_hertz(heard) == pytest.approx(440, abs=3)


def test_eight_channels_of_vorbis_are_read() -> None:
    assert np.std(decoded(FIXTURES / "eight-channels.ogg")) == pytest.approx(0.354, abs=0.01)


def test_the_channels_of_seven_one_keep_their_weights() -> None:
    channels = np.zeros((8, 48_000), np.float32)
    channels[2] = tone(1, 48_000, level=0.9)
    names = ["FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"]
    centre = decoded(encode(channels, 48_000, WAVPACK))
    assert np.abs(centre).max() == pytest.approx(0.9 * channel_weights(names)[2], rel=0.01)


def test_tracks_that_appear_in_the_middle_of_a_transport_stream_change_nothing(warnings_logged: list[str]) -> None:
    """FFmpeg looks for tracks in the first seconds and the last 250 KB."""
    alone = encode(tone(30, 48_000), 48_000, MPEG_TS)
    joined = encode(tone(2, 48_000), 48_000, MPEG_TS, silent_tracks=30)
    heard = decoded(alone + joined + alone)
    assert len(heard) / SAMPLE_RATE == pytest.approx(62, abs=0.2)
    assert dominant_hertz(heard[-SAMPLE_RATE:]) == pytest.approx(440, abs=3)
    assert len(warnings_logged) == 1, "the clock starts anew, twice"


def test_a_silent_channel_costs_half_the_amplitude_and_no_more() -> None:
    voice = tone(1, SAMPLE_RATE, level=0.8)
    heard = decoded(wav16(np.stack([voice, np.zeros_like(voice)])))
    assert np.abs(heard - voice / 2).max() < 1e-4


def test_six_microphones_in_a_wav_without_a_layout_count_equally() -> None:
    channels = np.zeros((6, SAMPLE_RATE), np.float32)
    channels[3] = tone(1, SAMPLE_RATE)
    data = wav(np.round(channels.T * 32767).astype("<i2").tobytes(), channels=6)
    assert np.abs(decoded(data)).max() == pytest.approx(0.5 / 6, rel=0.01)


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_nan_and_infinity_and_absurd_values_stay_inside_their_samples(rate: int) -> None:
    samples = tone(1, rate).astype("<f8")
    samples[[1000, 2000, 3000, 4000]] = [np.nan, np.inf, -np.inf, 1e300]
    heard = decoded(wav(samples.tobytes(), rate=rate, bits=64, format_tag=3))
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1
    assert np.std(heard[-4000:]) == pytest.approx(0.354, abs=0.01)


def test_a_square_wave_at_full_scale_does_not_leave_the_range_when_resampled() -> None:
    square = np.sign(tone(1, 44_100, hertz=300)).astype(np.float32)
    assert np.abs(decoded(wav16(square, 44_100))).max() == 1.0


@pytest.mark.parametrize("kind", [MP4, MKV, MPEG_TS], ids=["mp4", "mkv", "mpegts"])
def test_sound_that_starts_two_seconds_after_the_picture_starts_at_two_seconds(kind: Kind) -> None:
    heard = decoded(encode(tone(3, 48_000), 48_000, kind, shifts=((-1, 2.0),), picture=True))
    assert not heard[: int(1.9 * SAMPLE_RATE)].any()
    assert np.flatnonzero(np.abs(heard) > 0.3)[0] / SAMPLE_RATE == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("kind", [MP4, MKV, WEBM, OPUS], ids=["mp4", "mkv", "webm", "ogg"])
def test_what_was_not_recorded_in_the_middle_is_silence_of_the_same_length(kind: Kind) -> None:
    heard = decoded(encode(tone(3, 48_000), 48_000, kind, shifts=((1.0, 2.0),)))
    loud = np.abs(heard) > 0.3
    assert len(heard) / SAMPLE_RATE == pytest.approx(5, abs=0.05)
    assert loud[: int(0.95 * SAMPLE_RATE)].any()
    assert not loud[int(1.1 * SAMPLE_RATE) : int(2.9 * SAMPLE_RATE)].any()
    assert loud[int(3.1 * SAMPLE_RATE) :].any()


def test_sound_alone_starts_at_zero_whatever_its_timestamps_say() -> None:
    assert len(decoded(encode(tone(1, 48_000), 48_000, MKV, shifts=((-1, 3000.0),)))) / SAMPLE_RATE < 1.1


def test_a_timestamp_hours_ahead_is_not_believed(warnings_logged: list[str]) -> None:
    heard = decoded(encode(tone(3, 48_000), 48_000, MKV, shifts=((1.0, 36_000.0),)))
    assert len(heard) / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    assert len(warnings_logged) == 1
    assert "timestamps jumped 1 times" in warnings_logged[0]


def test_chunks_are_all_of_the_asked_length_but_the_last(speech: Audio) -> None:
    chunks = list(decode(FIXTURES / "weather.flac", max_seconds=None, chunk_s=0.1))
    assert {len(chunk) for chunk in chunks[:-1]} == {1600}
    assert 0 < len(chunks[-1]) <= 1600
    assert all(chunk.dtype == np.float32 for chunk in chunks)
    assert np.array_equal(np.concatenate(chunks), speech)


def test_a_source_is_read_from_its_beginning_and_left_open() -> None:
    source = io.BytesIO(wav16(tone(1, SAMPLE_RATE)))
    source.seek(1234)
    assert sum(map(len, decode(source, max_seconds=None))) == SAMPLE_RATE
    assert sum(map(len, decode(source, max_seconds=None))) == SAMPLE_RATE
    assert not source.closed


class Pipe(io.BytesIO):
    """What cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


@pytest.mark.parametrize("kind", [FLAC, MP3, OPUS, WEBM, ADTS], ids=["flac", "mp3", "ogg", "webm", "adts"])
def test_a_pipe_is_decoded_too(kind: Kind) -> None:
    assert sum(map(len, decode(Pipe(encode(tone(2, 48_000), 48_000, kind)), max_seconds=5))) > 1.9 * SAMPLE_RATE


def test_a_wav_written_to_a_pipe_has_no_length_and_is_not_refused_for_it() -> None:
    data = wav(bytes(32_000), claimed_bytes=0xFFFF_FFFF)
    for source in (Pipe(data), io.BytesIO(data)):
        assert sum(map(len, decode(source, max_seconds=5))) == SAMPLE_RATE


def test_two_recordings_in_one_file_at_different_rates_are_both_heard() -> None:
    first, second = encode(tone(1, 48_000), 48_000, ADTS), encode(tone(1, 16_000), 16_000, ADTS)
    heard = decoded(first + second)
    assert len(heard) == len(decoded(first)) + len(decoded(second))
    assert dominant_hertz(heard[: SAMPLE_RATE // 2]) == pytest.approx(440, abs=3)
    assert dominant_hertz(heard[-SAMPLE_RATE // 2 :]) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("kind", [FLAC, MKV], ids=["flac", "mkv"])
def test_a_file_cut_off_gives_what_it_has_and_one_warning(
    kind: Kind, speech: Audio, warnings_logged: list[str]
) -> None:
    data = encode(speech, SAMPLE_RATE, kind)
    heard = decoded(data[: len(data) // 2])
    assert 0.3 * len(speech) < len(heard) < 0.7 * len(speech)
    assert abs(lag_s(heard, speech)) < 0.003
    assert len(warnings_logged) == 1


@pytest.mark.parametrize("kind", [FLAC, MP4, OPUS], ids=["flac", "mp4", "ogg"])
def test_damage_in_the_middle_does_not_move_what_comes_after_it(
    kind: Kind, speech: Audio, warnings_logged: list[str]
) -> None:
    data = bytearray(encode(np.tile(speech, 3), SAMPLE_RATE, kind))
    middle = len(data) * 2 // 5
    data[middle : middle + 700] = np.random.default_rng(7).bytes(700)
    heard = decoded(bytes(data))
    last = heard[2 * len(speech) :]
    assert abs(lag_s(last, speech[: len(last)])) < 0.1
    assert len(warnings_logged) <= 1


def test_damage_in_an_mp3_costs_no_more_than_the_frames_it_hits(speech: Audio, warnings_logged: list[str]) -> None:
    data = bytearray(encode(speech, SAMPLE_RATE, MP3))
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    heard = decoded(bytes(data))
    assert 0 < (len(speech) - len(heard)) / SAMPLE_RATE < 0.3
    assert len(warnings_logged) == 1
    assert "could not be decoded" in warnings_logged[0]


def test_metadata_in_a_forgotten_encoding_is_no_obstacle() -> None:
    data = encode(tone(1, 48_000), 48_000, MP3, metadata={"title": "Cafe_bar"})
    assert b"Cafe_bar" in data
    assert len(decoded(data.replace(b"Cafe_bar", b"Caf\xe9\xffbar"))) == SAMPLE_RATE


def test_probe_tells_what_a_file_says_of_itself() -> None:
    assert probe(FIXTURES / "weather.flac") == MediaInfo("flac", "flac", 16_000, 1, 4.4781875, is_exact=True)
    stereo = encode(np.stack([tone(2, 44_100)] * 2), 44_100, MP4, picture=True)
    assert probe(io.BytesIO(stereo)) == MediaInfo("mp4", "aac", 44_100, 2, pytest.approx(2, abs=0.1), is_exact=True)
    assert probe(io.BytesIO(wav(b""))).duration_s is None


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    path.write_bytes(encode(tone(300, SAMPLE_RATE), SAMPLE_RATE, FLAC))
    chunks = decode(path, max_seconds=None)
    next(chunks)
    tracemalloc.start()
    try:
        assert sum(map(len, chunks)) == 299 * SAMPLE_RATE
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # the whole would be 19 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("take", [1, 2, 1000])
def test_nothing_is_left_behind_when_the_generator_is_closed_or_ends(take: int) -> None:
    process = psutil.Process()
    files, threads = process.num_fds(), threading.active_count()
    native_threads = process.num_threads()
    chunks = decode(FIXTURES / "address.opus", max_seconds=None)
    for _ in range(take):
        if next(chunks, None) is None:
            break
    chunks.close()
    assert process.num_fds() == files
    assert threading.active_count() == threads
    assert process.num_threads() == native_threads
