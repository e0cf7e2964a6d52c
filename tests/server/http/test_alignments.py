"""`POST /v1/audio/alignments` on the scripted recogniser, which says `w0 w1 w2 …`, two words a second."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pylrc
import pytest
from fastapi.testclient import TestClient

from running import EMBEDDED, RunningServer, post, until
from speech import TRANSCRIPTS
from steno import settings
from steno.captions.line_formats import LINE_FILES
from steno.server.app import create_app

URL = "/v1/audio/alignments"
SHEET = "[Verse]\nw1 w2 w3\n\nw5 w6 w7\nnot said here"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASR_BACKEND", "scripted")
        with TestClient(create_app(settings.load()), base_url="http://localhost:8000") as client:
            yield client


@pytest.fixture(scope="module")
def weather(fixtures: Path) -> bytes:
    return (fixtures / "weather.flac").read_bytes()


def send(client: TestClient, recording: bytes, text: str = SHEET, path: str = URL, **fields: Any) -> httpx.Response:
    return client.post(path, files={"file": ("song.flac", recording)}, data={"text": text, **fields})


@pytest.mark.parametrize("path", [URL, "/api/v1/align"])
def test_lines_have_times_words_confidence_and_a_status(client: TestClient, weather: bytes, path: str) -> None:
    answer = send(client, weather, path=path)
    assert answer.status_code == 200
    told = answer.json()
    assert [(line["text"], line["start_s"], line["end_s"], line["status"]) for line in told["lines"]] == [
        ("w1 w2 w3", 0.5, 2.0, "found"),
        ("w5 w6 w7", 2.5, 4.0, "found"),
        ("not said here", None, None, "not_found"),
    ]
    assert told["lines"][0] == {
        "text": "w1 w2 w3", "start_s": 0.5, "end_s": 2.0, "confidence": 1.0, "status": "found",
        "number": 2, "repeat": 1, "section": "Verse",
        "words": [{"word": f"w{n}", "start": n / 2, "end": n / 2 + 0.5, "confidence": 1.0} for n in (1, 2, 3)],
    }  # fmt: skip
    assert told["method"] == answer.headers["x-alignment-method"] == "recognized_words"
    assert told["warnings"] == ["there is no aligner (ALIGNER); lines have the times of recognised words"]
    assert answer.headers["x-steno-warnings"] == told["warnings"][0]
    assert told["language"] == "english"
    assert told["audio_s"] == pytest.approx(4.48, abs=0.05)
    assert {"decode", "recognize", "match"} <= told["timings"].keys()
    assert "match;dur=" in answer.headers["server-timing"]


@pytest.mark.parametrize("form", sorted(LINE_FILES))
def test_every_format_is_a_file_named_after_the_recording(client: TestClient, weather: bytes, form: str) -> None:
    answer = send(client, weather, response_format=form)
    file = LINE_FILES[form]  # type: ignore[index]
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(file.media_type)
    assert f'filename="song{file.extension}"' in answer.headers["content-disposition"]
    assert "w5" in answer.text
    assert "not said" not in answer.text


def test_lrc_is_lrc(client: TestClient, weather: bytes) -> None:
    lines = pylrc.parse(send(client, weather, response_format="lrc").text)
    assert [(line.time, line.text) for line in lines if line.text] == [(0.5, "w1 w2 w3"), (2.5, "w5 w6 w7")]


def test_another_text_is_a_422_unless_forced(client: TestClient, weather: bytes) -> None:
    refused = send(client, weather, "something else entirely\nand more of it")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "text_does_not_match")
    forced = send(client, weather, "something else entirely\nand more of it", force="true").json()
    assert (forced["method"], [line["status"] for line in forced["lines"]]) == ("even", ["estimated", "estimated"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": ""}, "text"),
        ({"text": "[Chorus]\n\n"}, "text"),
        ({"text": "x" * 400_001}, "text"),
        ({"repeats": "often"}, "repeats"),
        ({"response_format": "docx"}, "response_format"),
        ({"language": "Klingon"}, "language"),
        ({"model": "nothing"}, "model"),
    ],
)
def test_wrong_fields_are_named(client: TestClient, weather: bytes, fields: dict[str, str], param: str) -> None:
    answer = send(client, weather, **{"text": SHEET, **fields})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_missing_text_or_recording_is_named(client: TestClient, weather: bytes) -> None:
    assert client.post(URL, files={"file": ("song.flac", weather)}).json()["error"]["param"] == "text"
    assert client.post(URL, data={"text": SHEET}).json()["error"]["param"] == "file"
    two = [("file", ("a.flac", weather)), ("file", ("b.flac", weather))]
    assert client.post(URL, files=two, data={"text": SHEET}).json()["error"]["param"] == "file"
    assert send(client, b"no audio").json()["error"]["code"] == "not_audio"


def test_fields_without_effect_are_listed(client: TestClient, weather: bytes) -> None:
    assert send(client, weather, colour="red").headers["x-steno-ignored"] == "colour"


@pytest.mark.slow
def test_the_embedded_recogniser_and_aligner_time_real_speech(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED, ALIGNER="sphinx") as server:
        answer = post(server, fixtures / "weather.flac", "alignments", text=TRANSCRIPTS["weather.flac"]).json()
        (line,) = answer["lines"]
        assert (answer["method"], line["status"]) == ("forced_alignment", "found")
        assert line["start_s"] == pytest.approx(0.25, abs=0.1)
        assert [word["word"] for word in line["words"]] == TRANSCRIPTS["weather.flac"].split()


def test_a_client_that_leaves_ends_the_work(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@2000ms") as server:
        form = httpx.Request(
            "POST",
            server.url + URL,
            data={"text": SHEET},
            files={"file": io.BytesIO((fixtures / "weather.flac").read_bytes())},
        )
        body = form.read()
        with socket.create_connection((form.url.host, form.url.port or 80)) as connection:
            head = f"POST {URL} HTTP/1.1\r\nHost: {form.url.host}\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(f"{head}Content-Type: {form.headers['content-type']}\r\n\r\n".encode() + body)
            until(lambda: server.health()["active_requests"] == 1)
        began = time.monotonic()
        until(lambda: server.health()["active_requests"] == 0)
        assert time.monotonic() - began < 10, "the whole recording would take 22 s"
        until(lambda: "cancelling its work" in server.log())
