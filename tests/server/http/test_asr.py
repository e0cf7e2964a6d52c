"""whisper-asr-webservice's addresses, asked as Bazarr and its like ask them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import webvtt

from recordings import conversation
from running import EMBEDDED, TLS, RunningServer
from speech import word_error_rate
from talking import pcm_file

KEY = {"Authorization": "Bearer right"}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, API_KEYS="right", MAX_UPLOAD_MB="1") as server:
        yield server


def post(server: RunningServer, path: str, audio: bytes, **query: str) -> httpx.Response:
    files = {"audio_file": audio}
    return httpx.post(f"{server.url}{path}", files=files, params=query, headers=KEY, timeout=90, verify=TLS)


def test_text_is_the_default(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, "/asr", (fixtures / "weather.flac").read_bytes(), task="transcribe", encode="true")
    assert answer.headers["content-type"].startswith("text/plain")
    assert word_error_rate("weather.flac", answer.text) <= 0.25


def test_bazarr_gets_subtitles_of_raw_samples(server: RunningServer, fixtures: Path) -> None:
    query = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false", "video_file": "/films/a.mkv"}
    answer = post(server, "/asr", pcm_file(fixtures / "weather.flac"), **query)
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("1\n00:00:0")
    assert word_error_rate("weather.flac", " ".join(answer.text.split("\n")[2:])) <= 0.4


def test_a_recording_is_known_though_it_is_sent_as_samples(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, "/asr", (fixtures / "weather.flac").read_bytes(), encode="false")
    assert word_error_rate("weather.flac", answer.text) <= 0.25


def test_json_is_whispers(server: RunningServer, fixtures: Path) -> None:
    answer = post(server, "/asr", (fixtures / "weather.flac").read_bytes(), output="json", word_timestamps="true")
    told = answer.json()
    assert told["language"] == "en"
    assert word_error_rate("weather.flac", told["text"]) <= 0.25
    words = [word for segment in told["segments"] for word in segment["words"]]
    assert " ".join(word["word"] for word in words) == told["text"]
    assert all(0 <= word["start"] <= word["end"] <= 6 and 0 <= word["probability"] <= 1 for word in words)
    assert "words" not in post(server, "/asr", (fixtures / "weather.flac").read_bytes(), output="json").text


def test_the_other_formats_are_files(server: RunningServer, fixtures: Path, tmp_path: Path) -> None:
    recording = (fixtures / "weather.flac").read_bytes()
    (tmp_path / "a.vtt").write_text(post(server, "/asr", recording, output="vtt").text)
    assert len(webvtt.read(str(tmp_path / "a.vtt"))) >= 1
    assert post(server, "/asr", recording, output="tsv").text.startswith("start\tend\ttext\n")


def test_speakers_are_told_in_json_and_subtitles(server: RunningServer, fixtures: Path) -> None:
    call = conversation(fixtures, "weather", "market")
    told = post(server, "/asr", call, output="json", diarize="true", word_timestamps="true").json()["segments"]
    assert [segment["speaker"] for segment in told] == ["A", "B"]
    assert {word["speaker"] for word in told[1]["words"]} == {"B"}
    one = post(server, "/asr", call, output="json", diarize="true", max_speakers="1").json()["segments"]
    assert {segment["speaker"] for segment in one} == {"A"}
    assert post(server, "/asr", call, output="vtt", diarize="true").text.count("<v ") >= 2


def test_a_language_is_detected(server: RunningServer, fixtures: Path) -> None:
    for audio, encode in (
        ((fixtures / "weather.flac").read_bytes(), "true"),
        (pcm_file(fixtures / "weather.flac"), "false"),
    ):
        answer = post(server, "/detect-language", audio, encode=encode)
        assert answer.json() == {"detected_language": "english", "language_code": "en", "confidence": 1.0}


def test_what_cannot_be_done_is_refused_by_name(server: RunningServer, fixtures: Path) -> None:
    recording = (fixtures / "weather.flac").read_bytes()
    for query, name in (
        ({"diarize": "true"}, "diarize"),
        ({"diarize": "true", "task": "translate", "output": "json"}, "diarize"),
        ({"diarize": "true", "output": "json", "min_speakers": "3", "max_speakers": "2"}, "min_speakers"),
        ({"output": "docx"}, "output"),
        ({"language": "de", "task": "transcribe"}, "language"),
        ({"task": "translate", "output": "tsv"}, "output"),
    ):
        answer = post(server, "/asr", recording, **query)
        assert answer.status_code in (400, 422)
        assert answer.json()["error"]["param"] == name


def test_keys_and_limits_are_those_of_uploads(server: RunningServer) -> None:
    for path in ("/asr", "/detect-language"):
        files = {"audio_file": b"x"}
        assert httpx.post(f"{server.url}{path}", files=files, timeout=90, verify=TLS).status_code == 401
        assert post(server, path, bytes(2**20 + 1)).status_code == 413
        assert post(server, path, b"this is no audio, whatever it says" * 9).json()["error"]["message"]
