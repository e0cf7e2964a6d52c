"""What is no audio, what is broken, what is too long, and what is out to do harm."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest

from audio.encode import FLAC, M4A, MP4, OPUS, Kind, encode, picture_only, tone, wav, wav16
from steno.audio.decode import DecodeCancelled, decode, probe
from steno.errors import (
    AudioError,
    AudioTooLongError,
    EmptyAudioError,
    NotAudioError,
    UndecodableAudioError,
)
from steno.types import SAMPLE_RATE


def refusal(data: bytes, max_seconds: float | None = 60) -> AudioError:
    with pytest.raises(AudioError) as caught:
        list(decode(io.BytesIO(data), max_seconds=max_seconds))
    return caught.value


def png() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        out.mux(stream.encode(None))
    return buffer.getvalue()


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.bin", random.Random(1).randbytes(300_000))
    return buffer.getvalue()


NOT_AUDIO = {
    "a text": b"This is a text that somebody named recording.wav.\n" * 200,
    "a web page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "json": b'{"error": "expired"}',
    "an image": png(),
    "an archive": archive(),
    "a pdf": b"%PDF-1.7\n" + random.Random(2).randbytes(50_000),
    "noise": random.Random(3).randbytes(200_000),
    "zeros": bytes(100_000),
    "a video without sound": picture_only(),
    "subtitles": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n" * 20,
}


@pytest.mark.parametrize("data", NOT_AUDIO.values(), ids=NOT_AUDIO.keys())
def test_what_is_no_audio_is_called_that(data: bytes) -> None:
    error = refusal(data)
    assert type(error) is NotAudioError
    assert "WAV" in error.message


FLAC_FILE = encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, FLAC)
MP4_FILE = encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, MP4)
SECOND = bytes(32_000)


def test_a_container_that_is_not_on_the_list_is_refused_though_ffmpeg_reads_it() -> None:
    data = encode(tone(1, SAMPLE_RATE), SAMPLE_RATE, Kind("nut", "flac", "s16"))
    with av.open(io.BytesIO(data)) as file:
        assert file.format.name == "nut"
    assert type(refusal(data)) is NotAudioError


UNDECODABLE = {
    "4 bytes of a wav": wav(SECOND)[:4],
    "half a wav header": wav(SECOND)[:30],
    "half a flac header": FLAC_FILE[:30],
    "an mp4 without its index": MP4_FILE[: len(MP4_FILE) // 2],
    "an unknown codec": wav(SECOND, format_tag=0x1234),
    "a flac with only noise after its header": FLAC_FILE[:200] + random.Random(4).randbytes(len(FLAC_FILE)),
    "4 GHz": wav(SECOND, rate=4_000_000_000),
    "2 GHz": wav(SECOND, rate=2_000_000_000),
    "0 Hz": wav(SECOND, rate=0),
    "1 Hz": wav(SECOND, rate=1),
    "65535 channels": wav(SECOND, channels=65_535),
    "500 channels": wav(SECOND, channels=500),
    "no channel": wav(SECOND, channels=0),
    "no bits": wav(SECOND, bits=0),
}


@pytest.mark.parametrize("data", UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_what_is_broken_or_absurd_is_refused_quickly(data: bytes) -> None:
    started = time.process_time()
    assert type(refusal(data)) is UndecodableAudioError
    assert time.process_time() - started < 1


@pytest.mark.parametrize("data", [b"", wav(b"")], ids=["no bytes", "a wav without data"])
def test_what_holds_no_samples_is_empty(data: bytes) -> None:
    assert type(refusal(data)) is EmptyAudioError


def test_a_wav_that_claims_four_gigabytes_gives_what_is_there() -> None:
    source = io.BytesIO(wav(SECOND, claimed_bytes=0xFFFF_FFF0))
    assert sum(map(len, decode(source, max_seconds=60))) == SAMPLE_RATE


@pytest.mark.parametrize("data", [*NOT_AUDIO.values(), *UNDECODABLE.values()], ids=[*NOT_AUDIO, *UNDECODABLE])
def test_messages_keep_paths_and_the_library_to_themselves(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "secret-name.wav"
    path.write_bytes(data)
    with pytest.raises(AudioError) as caught:
        list(decode(path, max_seconds=60))
    message = caught.value.message
    assert message.endswith(".")
    for word in ("secret", str(tmp_path), "<none>", "Errno", "ffmpeg", "av.", "Invalid data"):
        assert word not in message


def test_a_header_that_says_it_is_too_long_is_believed_at_once() -> None:
    data = encode(tone(10, SAMPLE_RATE), SAMPLE_RATE, M4A)
    chunks = decode(io.BytesIO(data), max_seconds=5)
    with pytest.raises(AudioTooLongError, match="longer than 5 s"):
        next(chunks)


def test_what_is_exactly_as_long_as_allowed_passes() -> None:
    assert sum(map(len, decode(io.BytesIO(wav16(tone(5, SAMPLE_RATE))), max_seconds=5))) == 5 * SAMPLE_RATE
    assert type(refusal(wav16(tone(5.001, SAMPLE_RATE)), 5)) is AudioTooLongError


class Counting(io.BytesIO):
    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_hours_of_silence_in_a_small_file_stop_at_the_limit() -> None:
    data = bytearray(encode(np.random.default_rng(0).normal(0, 1e-3, 600 * SAMPLE_RATE), SAMPLE_RATE, FLAC))
    data[21] &= 0xF0
    data[22:26] = bytes(4)  # STREAMINFO: the number of samples is unknown
    source = Counting(bytes(data))
    assert probe(source).duration_s is None
    source.taken = 0
    chunks = decode(source, max_seconds=30)
    assert sum(len(next(chunks)) for _ in range(30)) == 30 * SAMPLE_RATE
    with pytest.raises(AudioTooLongError):
        next(chunks)
    assert source.taken < len(data) / 4


def test_silence_between_timestamps_counts_as_length() -> None:
    data = encode(tone(3, 48_000), 48_000, OPUS, shifts=((1.0, 500.0),))
    assert type(refusal(data, 60)) is AudioTooLongError


def test_cancelling_stops_between_chunks() -> None:
    cancelled = threading.Event()
    chunks = decode(io.BytesIO(wav16(tone(20, SAMPLE_RATE))), max_seconds=None, cancelled=cancelled)
    next(chunks)
    cancelled.set()
    with pytest.raises(DecodeCancelled):
        list(chunks)


class Scripted(io.BytesIO):
    """Does something at the third read."""

    reads = 0

    def __init__(self, data: bytes, third: object) -> None:
        super().__init__(data)
        self.third = third

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.reads == 3:
            self.third()
        return super().read(size)


def test_cancelling_stops_even_the_search_for_a_format() -> None:
    cancelled = threading.Event()
    source = Scripted(random.Random(5).randbytes(3_000_000), cancelled.set)
    with pytest.raises(DecodeCancelled):
        list(decode(source, max_seconds=None, cancelled=cancelled))
    assert source.reads == 3


@pytest.mark.parametrize("data", [NOT_AUDIO["noise"] * 4, wav16(tone(60, SAMPLE_RATE))], ids=["probing", "decoding"])
def test_what_the_source_raises_comes_through_as_it_is_and_leaves_nothing_for_the_next_file(data: bytes) -> None:
    gone = ConnectionResetError("the client went away")

    def fail() -> None:
        raise gone

    source = Scripted(data, fail)
    with pytest.raises(ConnectionResetError) as caught:
        list(decode(source, max_seconds=None))
    assert caught.value is gone
    assert source.reads == 3
    assert sum(map(len, decode(io.BytesIO(wav(SECOND)), max_seconds=None))) == SAMPLE_RATE


class Bait:
    """A named pipe that notices whether anybody opens it for reading."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken = threading.Event()
        os.mkfifo(path)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def _wait(self) -> None:
        with self.path.open("wb"):
            self.taken.set()

    def release(self) -> None:
        reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._thread.join(5)
        os.close(reader)


PLAYLISTS = {
    "hls": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n",
    "concat": b"ffconcat version 1.0\nfile %s\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=%s\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    b'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period><AdaptationSet><Representation id="1" '
    b'bandwidth="1"><BaseURL>%s</BaseURL></Representation></AdaptationSet></Period></MPD>',
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_a_playlist_never_opens_what_it_names(
    name: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bait = Bait(tmp_path / "bait.wav")
    playlist = PLAYLISTS[name] % (b"file://" + bytes(bait.path) if absolute else b"bait.wav")
    path = tmp_path / f"innocent.{ {'hls': 'm3u8', 'dash': 'mpd'}.get(name, name) }"
    path.write_bytes(playlist)
    try:
        assert type(refusal(playlist)) is NotAudioError
        with pytest.raises(NotAudioError):
            probe(path)
        assert not bait.taken.wait(0.05)
    finally:
        bait.release()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_ffmpeg_unbound_would_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above proves nothing."""
    monkeypatch.chdir(tmp_path)
    bait = Bait(tmp_path / "bait.wav")
    try:
        with pytest.raises(av.FFmpegError):
            av.open(io.BytesIO(PLAYLISTS["concat"] % b"bait.wav"))
        assert bait.taken.wait(5)
    finally:
        if not bait.taken.is_set():
            bait.release()


def test_importing_the_decoder_loads_no_codec() -> None:
    code = "import sys, steno.audio.decode, steno.audio.pcm; print({'av', 'soxr'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"set()\n"
