from __future__ import annotations

from pathlib import Path

import pytest

from steno.audio.signatures import file_format, starts_like_media


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"RIFF....WAVE", "WAV"),
        (b"RF64....WAVE", "WAV"),
        (b"fLaC\0\0\0\x22", "FLAC"),
        (b"ID3\4\0\0\0\0", "MP3"),
        (b"OggS\0\2\0\0", "Ogg"),
        (b"\x1aE\xdf\xa3\x9fB\x86\x81", "WebM"),
        (b"\0\0\0\x18ftypmp42", "MP4"),
    ],
)
def test_the_first_bytes_of_a_file_give_its_format(head: bytes, name: str) -> None:
    assert file_format(head) == name
    assert starts_like_media(head)


def test_a_shipped_recording_has_a_format(fixtures: Path) -> None:
    assert file_format((fixtures / "weather.flac").read_bytes()[:16]) == "FLAC"


def test_raw_samples_have_no_format() -> None:
    assert file_format(b"\0\0\1\0\2\0\1\0") is None
    assert file_format(b"") is None


def test_the_start_of_an_mp3_frame_may_be_raw_samples_or_media() -> None:
    frame = b"\xff\xfb\x90\x64\0\0\0\0"
    assert file_format(frame) is None
    assert starts_like_media(frame)
    assert not starts_like_media(b"\0\0\1\0\2\0\1\0")
