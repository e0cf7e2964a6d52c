"""Which audio of a file is taken: all links of a chained Ogg, the right track, channels that cancel each other out."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from audio.encode import FLAC, MP3, OPUS, WEBM, Kind, encode, tone
from steno.audio.decode import decode
from steno.audio.mix import MEMORY_S, CancellationGuard
from steno.audio.ogg_links import links_of
from steno.errors import AudioTooLongError, AudioTrackNotFoundError, UndecodableAudioError
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

FIXTURES = Path(__file__).parents[1] / "fixtures"
OGG_FLAC = Kind("ogg", "flac", "s16")


def decoded(data: bytes, *, max_seconds: float | None = None, track: str | None = None) -> tuple[Audio, list[str]]:
    warnings: list[str] = []
    chunks = decode(io.BytesIO(data), max_seconds=max_seconds, track=track, on_warning=warnings.append)
    return np.concatenate(list(chunks)), warnings


def hertz(audio: Audio) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(audio))
    return float(spectrum.argmax() * SAMPLE_RATE / len(audio))


@pytest.fixture(scope="module")
def speech() -> Audio:
    return np.concatenate(list(decode(FIXTURES / "weather.flac", max_seconds=None)))


# chained Ogg


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            encode(tone(2, 16_000), 16_000, OGG_FLAC),
            encode(np.stack([tone(3, 44_100, hertz=880)] * 2), 44_100, OGG_FLAC),
        ),
        (encode(tone(2, 48_000), 48_000, OPUS), encode(tone(3, 16_000, hertz=880), 16_000, OGG_FLAC)),
        (encode(tone(2, 48_000), 48_000, OPUS), encode(tone(3, 48_000, hertz=880), 48_000, OPUS)),
    ],
    ids=["another rate and layout", "another codec", "the same"],
)
def test_every_link_of_a_chained_ogg_is_read(first: bytes, second: bytes) -> None:
    audio, warnings = decoded(first + second)
    assert len(audio) / SAMPLE_RATE == pytest.approx(5, abs=0.05)
    assert hertz(audio[: 2 * SAMPLE_RATE - 2000]) == pytest.approx(440, abs=2)
    assert hertz(audio[2 * SAMPLE_RATE + 2000 :]) == pytest.approx(880, abs=2)
    assert warnings == []


def test_a_link_that_cannot_be_read_is_left_out_and_named() -> None:
    broken = bytearray(encode(tone(1, 16_000), 16_000, OGG_FLAC))
    broken[28:120] = bytes(92)  # the codec's header
    audio, warnings = decoded(
        encode(tone(1, 16_000), 16_000, OGG_FLAC) + broken + encode(tone(1, 16_000), 16_000, OGG_FLAC)
    )
    assert len(audio) / SAMPLE_RATE == pytest.approx(2, abs=0.05)
    assert warnings == ["1 parts of the chained file could not be read and were left out"]


def test_garbage_between_links_is_skipped() -> None:
    link = encode(tone(1, 16_000), 16_000, OGG_FLAC)
    audio, _ = decoded(link + b"garbage" * 20_000 + link)
    assert len(audio) / SAMPLE_RATE == pytest.approx(2, abs=0.05)


def test_the_limit_holds_over_all_links() -> None:
    link = encode(tone(2, 48_000), 48_000, OPUS)
    assert len(decoded(link * 2, max_seconds=4.1)[0]) == pytest.approx(4 * SAMPLE_RATE, abs=800)
    with pytest.raises(AudioTooLongError):
        decoded(link * 3, max_seconds=4.1)


def test_a_file_that_is_not_chained_is_one_source() -> None:
    for data in (encode(tone(1, 48_000), 48_000, OPUS), encode(tone(1, 16_000), 16_000, FLAC), b"", b"OggS", b"Ogg"):
        source = io.BytesIO(data)
        assert list(links_of(source)) == [source]


def test_pages_that_end_nowhere_are_no_loop() -> None:
    assert len(links_of(io.BytesIO(b"OggS" * 50_000))) >= 1
    assert len(links_of(io.BytesIO(bytes(27).join([b"OggS"] * 50_000)))) >= 1


class ShortReads(io.BytesIO):
    """Returns what is left of a block of 1,000 bytes, as the sandbox's source does at the end of its blocks."""

    def read(self, size: int | None = -1) -> bytes:
        left = 1000 - self.tell() % 1000
        return super().read(left if size is None or size < 0 else min(size, left))


def test_links_are_found_whatever_a_source_returns_at_once() -> None:
    link = encode(np.random.default_rng(0).normal(0, 0.1, 3 * 48_000).astype(np.float32), 48_000, OPUS)
    assert len(links_of(io.BytesIO(link * 20))) == len(links_of(ShortReads(link * 20))) == 20


# the length in a header is a hint


@pytest.mark.parametrize("kind", [OPUS, WEBM])
def test_timestamps_that_begin_at_ten_hours_make_no_long_file(kind: Kind) -> None:
    late = encode(tone(4, 48_000), 48_000, kind, shifts=((-1.0, 36_000.0),))
    audio, warnings = decoded(late, max_seconds=3600)
    assert len(audio) / SAMPLE_RATE == pytest.approx(4, abs=0.05)
    assert warnings == []


def test_a_flac_whose_header_claims_2_to_the_36_samples_is_read() -> None:
    data = bytearray(encode(tone(4, 16_000), 16_000, FLAC))
    data[21] |= 0x0F  # the last 36 bits of STREAMINFO before the checksum: samples in all
    data[22:26] = b"\xff" * 4
    audio, warnings = decoded(bytes(data), max_seconds=3600)
    assert len(audio) == 4 * SAMPLE_RATE
    assert warnings == ["the audio ends after 4.0 s, the header says 4294967.3 s"]


# tracks


def two_tracks(container: str, default: int, codecs: tuple[str, str] = ("aac", "aac")) -> bytes:
    """440 Hz in German, 880 Hz in English; three seconds. `default` counts from 0."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        tracks = [out.add_stream(codec, rate=48_000, layout="mono") for codec in codecs]
        for number, (track, language) in enumerate(zip(tracks, ("ger", "eng"), strict=True)):
            track.metadata["language"] = language
            track.disposition = av.stream.Disposition.default if number == default else av.stream.Disposition(0)
        for track, pitch in zip(tracks, (440, 880), strict=True):
            samples = tone(3, 48_000, hertz=pitch)[None]
            resampler = av.AudioResampler(format=track.format.name, layout="mono", rate=48_000, frame_size=1024)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
            for part in [*resampler.resample(frame), None]:
                out.mux(track.encode(part))
    return buffer.getvalue()


@pytest.mark.parametrize("container", ["matroska", "mp4"])
@pytest.mark.parametrize(("default", "pitch"), [(0, 440), (1, 880)])
def test_the_default_track_is_taken(container: str, default: int, pitch: int) -> None:
    audio, _ = decoded(two_tracks(container, default))
    assert hertz(audio) == pytest.approx(pitch, abs=2)


@pytest.mark.parametrize(
    ("track", "pitch"), [("1", 440), ("2", 880), ("de", 440), ("ger", 440), ("German", 440), ("en", 880), ("EN", 880)]
)
def test_a_track_is_chosen_by_its_number_or_its_language(track: str, pitch: int) -> None:
    audio, _ = decoded(two_tracks("matroska", 1), track=track)
    assert hertz(audio) == pytest.approx(pitch, abs=2)


@pytest.mark.parametrize("track", ["0", "3", "fr", "x" * 50, "99999999999999999999"])
def test_a_track_that_is_not_there_is_refused_with_those_that_are(track: str) -> None:
    with pytest.raises(AudioTrackNotFoundError, match=r"1 \(de\), 2 \(en, default\)") as caught:
        decoded(two_tracks("matroska", 1), track=track)
    assert caught.value.param == "track"


def test_a_track_that_cannot_be_decoded_hides_none_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = two_tracks("matroska", 0, ("mp2", "aac"))
    monkeypatch.setattr("steno.audio.container.FILES", _without("mp2"))
    monkeypatch.setattr("steno.audio.decode.open_media", _opener(_without("mp2")))
    audio, _ = decoded(mixed)
    assert hertz(audio) == pytest.approx(880, abs=2)
    with pytest.raises(UndecodableAudioError, match="codec"):
        decoded(mixed, track="1")


def _without(codec: str) -> object:
    from steno.audio.container import CODECS, AcceptedFormats

    return AcceptedFormats(codecs=",".join(name for name in CODECS.split(",") if name != codec))


def _opener(accepted: object) -> object:
    from functools import partial

    from steno.audio.container import open_media

    return lambda source, cancelled, *, track=None: partial(open_media, accepted=accepted)(
        source, cancelled, track=track
    )


# polarity


def mixed(channels: Audio, kind: Kind | None = None) -> Audio:
    return decoded(wav_of(channels) if kind is None else encode(channels, SAMPLE_RATE, kind))[0]


def wav_of(channels: Audio) -> bytes:
    return encode(channels, SAMPLE_RATE, Kind("wav", "pcm_s16le", "s16"))


@pytest.mark.parametrize("kind", [None, MP3], ids=["wav", "mp3"])
def test_stereo_whose_second_channel_is_inverted_is_not_silence(speech: Audio, kind: Kind | None) -> None:
    audio = mixed(np.stack([speech, -speech]), kind)
    assert np.std(audio) == pytest.approx(np.std(speech), rel=0.1)
    assert kind is not None or np.abs(audio[: len(speech)] - speech).max() < 0.001


def test_silence_before_the_speech_changes_nothing(speech: Audio) -> None:
    late = np.concatenate([np.zeros(5 * SAMPLE_RATE, np.float32), speech])
    assert np.std(mixed(np.stack([late, -late]))) == pytest.approx(np.std(late), rel=0.02)


def test_a_voice_in_the_middle_of_wide_music_stays(speech: Audio) -> None:
    music = 0.1 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)
    audio = mixed(np.stack([speech + music, speech - music]))
    begun = audio[SAMPLE_RATE : len(speech)]
    assert np.corrcoef(begun, speech[SAMPLE_RATE:])[0, 1] > 0.98


def test_ordinary_stereo_is_the_plain_mean(speech: Audio) -> None:
    other = np.roll(speech, 20_000)
    audio = mixed(np.stack([speech, other]))
    assert np.abs(audio[: len(speech)] - (speech + other) / 2).max() < 0.001


def test_channels_that_no_longer_cancel_each_other_out_are_mixed_again() -> None:
    weights = np.full(2, 0.5, np.float32)
    guard = CancellationGuard(weights)
    block = tone(0.1, SAMPLE_RATE)
    assert list(guard.weights(np.stack([block, -block]), SAMPLE_RATE)) == [1, 0]
    for _ in range(round(10 * 3 * MEMORY_S)):
        now = guard.weights(np.stack([block, block]), SAMPLE_RATE)
    assert list(now) == list(weights)
