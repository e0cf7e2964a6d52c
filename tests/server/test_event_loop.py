"""Nothing that a route does holds the event loop for 100 ms: what is long runs in a thread, a process, or in parts."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
import websockets

from audio.encode import OPUS, encode
from benchmarks.speech import SAMPLE
from command_line import run_command
from running import PATIENCE_S, TLS, post
from steno.audio.decode import decode
from steno.server.app import create_app
from steno.server.live.routes import LANGUAGES
from steno.settings import Settings
from steno.types import SAMPLE_RATE
from talking import parts, pcm_file
from watched_server import WatchedServer, stall_of

MOST_S = 0.1
AUDIO_S = 240
WORDS_PER_S = 120.0
"""Four minutes, with the words of three hours and more."""

PAGES = ("/", "/page/about.json", "/page/js/steno.js", "/docs", "/openapi.json")
STATUS = ("/health", "/ready", "/metrics", "/v1/models", "/v1/models/scripted")
UPLOADS: dict[str, tuple[str, dict[str, str]]] = {
    "words": ("/v1/audio/transcriptions", {"response_format": "verbose_json", "timestamp_granularities[]": "word"}),
    "events": ("/v1/audio/transcriptions", {"stream": "true", "include[]": "logprobs"}),
    "older events": ("/v1/audio/transcriptions/stream", {}),
    "subtitles": ("/v1/audio/subtitles", {"response_format": "vtt"}),
    "translated captions": ("/v1/audio/translations", {"response_format": "srt", "source_language": "en"}),
}
"""If the answer were made on the loop, each would hold it for 0.2 s or more, but for the last of the `events`, with
0.07 s, and for `older events`, which are made one by one."""
EVENTS_MOST_S = 0.05
OTHER_UPLOADS: dict[str, tuple[dict[str, str], int]] = {
    "/v1/listen": ({"utterances": "true", "paragraphs": "true", "smart_format": "true"}, 100_000),
    "/asr": ({"output": "srt"}, 100_000),
    "/detect-language": ({}, 20),
}
"""Those of other APIs: their queries, and the least size of their answers in bytes."""

JOBS = (
    "/v1/jobs",
    "/v1/jobs/{job_id}",
    "/v1/jobs/{job_id}/events",
    "/v1/jobs/{job_id}/result",
    "/v1/jobs/{job_id}/cancel",
)
ARCHIVE = "/v1/archive/{recording}"
ARCHIVES: dict[str, tuple[str, Any]] = {
    "/v1/archive": ("GET", None),
    ARCHIVE: ("GET", None),
    f"{ARCHIVE}/levels": ("GET", None),
    f"{ARCHIVE}/audio": ("GET", None),
    f"{ARCHIVE}/curve": ("GET", None),
    f"{ARCHIVE}/anchors": ("PUT", {"anchors": [{"chat_s": 50.0, "recording_s": 16.0}], "by": "kim"}),
    f"{ARCHIVE}/clock/confirm": ("POST", {"by": "kim"}),
    f"{ARCHIVE}/verdict": ("PUT", {"start_s": 0.0, "end_s": 1.0, "verdict": "accepted", "by": "kim"}),
}
ALIGNMENTS = ("/v1/audio/alignments", "/api/v1/align")


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    folder = tmp_path_factory.mktemp("talkative")
    settings = {"ASR_BACKEND": "scripted", "MODEL_ID": "scripted@0ms", "JOBS_DB": str(folder / "jobs.db")}
    with WatchedServer(folder / "stalls", WORDS_PER_S, **settings) as server:
        _warm_up(server)
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedServer]:
    with WatchedServer(tmp_path_factory.mktemp("plain") / "stalls", ASR_BACKEND="scripted") as server:
        _warm_up(server)
        yield server


@pytest.fixture(scope="module")
def recording(fixtures: Path) -> bytes:
    speech = np.concatenate(list(decode(fixtures / "address.opus", max_seconds=None)))
    return encode(np.resize(speech, AUDIO_S * SAMPLE_RATE), SAMPLE_RATE, OPUS)


def test_every_route_is_watched_here() -> None:
    documented = set(create_app(Settings(asr_backend="scripted")).openapi()["paths"])
    watched = {*STATUS, *OTHER_UPLOADS, *ALIGNMENTS, *JOBS, *ARCHIVES, *(path for path, _ in UPLOADS.values())}
    assert {path.replace("{model}", "scripted") for path in documented} == watched


@pytest.mark.parametrize("path", [*STATUS, *PAGES])
def test_pages_and_status_leave_the_loop_free(server: WatchedServer, path: str) -> None:
    with server.watching() as stalls:
        for _ in range(3):
            assert server.get(path).status_code == 200
    assert max(stalls, default=0.0) < MOST_S


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "older events" else name for name in UPLOADS]
)
def test_uploads_leave_the_loop_free(talkative: WatchedServer, recording: bytes, name: str) -> None:
    path, fields = UPLOADS[name]
    with talkative.watching() as stalls:
        answer = httpx.post(
            talkative.url + path, files={"file": recording}, data=fields, timeout=PATIENCE_S, verify=TLS
        )
        assert answer.status_code == 200
        assert len(answer.content) > 100_000
    assert max(stalls, default=0.0) < (EVENTS_MOST_S if name == "events" else MOST_S)


@pytest.mark.parametrize("path", OTHER_UPLOADS)
def test_uploads_of_other_apis_leave_the_loop_free(talkative: WatchedServer, recording: bytes, path: str) -> None:
    form = {"content": recording} if path == "/v1/listen" else {"files": {"audio_file": ("a.ogg", recording)}}
    query, least_bytes = OTHER_UPLOADS[path]
    with talkative.watching() as stalls:
        answer = httpx.post(talkative.url + path, params=query, timeout=PATIENCE_S, verify=TLS, **form)
        assert answer.status_code == 200
        assert len(answer.content) > least_bytes
    assert max(stalls, default=0.0) < MOST_S


@pytest.mark.parametrize("path", ALIGNMENTS)
def test_alignments_leave_the_loop_free(server: WatchedServer, recording: bytes, path: str) -> None:
    form = {"text": "la la la\n" * 1000, "force": "true"}
    with server.watching() as stalls:
        answer = httpx.post(server.url + path, files={"file": recording}, data=form, timeout=PATIENCE_S, verify=TLS)
        assert answer.status_code == 200
        assert len(answer.content) > 100_000
    assert max(stalls, default=0.0) < MOST_S


def test_jobs_leave_the_loop_free(talkative: WatchedServer, recording: bytes) -> None:
    url = talkative.url + JOBS[0]
    form = {"kind": "transcription", "response_format": "verbose_json", "timestamp_granularities[]": "word"}
    with talkative.watching() as stalls:
        made = httpx.post(url, files={"file": ("a.ogg", recording)}, data=form, timeout=PATIENCE_S, verify=TLS).json()[
            "id"
        ]
        assert '"succeeded"' in httpx.get(f"{url}/{made}/events", timeout=PATIENCE_S, verify=TLS).text
        assert len(httpx.get(f"{url}/{made}/result", timeout=PATIENCE_S, verify=TLS).content) > 1_000_000
        assert made in httpx.get(url, timeout=PATIENCE_S, verify=TLS).text
        assert httpx.get(f"{url}/{made}", timeout=PATIENCE_S, verify=TLS).json()["state"] == "succeeded"
        assert httpx.post(f"{url}/{made}/cancel", timeout=PATIENCE_S, verify=TLS).json()["state"] == "succeeded"
    assert max(stalls, default=0.0) < MOST_S


def test_an_archive_leaves_the_loop_free(recording: bytes, tmp_path: Path) -> None:
    """Of a recording whose chat is megabytes of JSON."""
    environment = {**os.environ, "ASR_BACKEND": "scripted", "ARCHIVE_DIR": str(tmp_path / "archive")}
    (tmp_path / "talk.ogg").write_bytes(recording)
    messages = [{"time": n / 2, "author": f"author {n}", "text": f"message {n}"} for n in range(400)]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))
    added = run_command(
        "archive", "add", tmp_path / "talk.ogg", "--chat", tmp_path / "chat.jsonl", environment=environment
    )
    assert run_command("archive", "run", environment=environment).returncode == 0
    _repeat_messages(tmp_path / "archive", 500)
    with WatchedServer(tmp_path / "stalls", ASR_BACKEND="scripted", ARCHIVE_DIR=str(tmp_path / "archive")) as server:
        _warm_up(server)
        with server.watching() as stalls:
            answers = [
                httpx.request(
                    method,
                    server.url + path.format(recording=added.stdout.strip()),
                    json=body,
                    timeout=PATIENCE_S,
                    verify=TLS,
                )
                for path, (method, body) in ARCHIVES.items()
            ]
    assert [answer.status_code for answer in answers] == [200] * 7 + [204]
    assert len(answers[1].content) > 10_000_000
    assert max(stalls, default=0.0) < MOST_S


@pytest.mark.slow
def test_the_embedded_recogniser_leaves_the_loop_free(fixtures: Path, tmp_path: Path) -> None:
    with WatchedServer(tmp_path / "stalls", ASR_BACKEND="sphinx") as server:
        _warm_up(server)
        with server.watching() as stalls:
            assert post(server, fixtures / "address.opus", response_format="srt").status_code == 200
    assert max(stalls, default=0.0) < MOST_S


@pytest.mark.parametrize("path", [path for path, _ in LANGUAGES])
@pytest.mark.slow
async def test_live_sessions_leave_the_loop_free(server: WatchedServer, fixtures: Path, path: str) -> None:
    pcm = pcm_file(fixtures / "weather.flac")
    query = {"encoding": "linear16", "sample_rate": SAMPLE_RATE} if path.endswith("/listen") else {}
    with server.watching() as stalls:
        async with websockets.connect(f"{server.url.replace('http', 'ws')}{path}?{urlencode(query)}") as socket:
            for part in parts(pcm, 160_000):
                await socket.send(_append(part) if path == "/v1/realtime" else part)
            if path == "/v1/realtime":
                await socket.send('{"type": "input_audio_buffer.commit"}')
            text = ""
            async with asyncio.timeout(PATIENCE_S):
                while "w1" not in text:
                    text += str(await socket.recv())
    assert max(stalls, default=0.0) < MOST_S


async def test_the_longest_frames_leave_the_loop_free(server: WatchedServer) -> None:
    frames = {
        "/ws/transcribe": [json.dumps({"action": "ping", "id": [{}] * 16_000}), bytes(15_000_000)],
        "/v1/realtime": [_append(bytes(3_000_000)), json.dumps({"type": "x", "audio": [{}] * 900_000})],
    }
    with server.watching() as stalls:
        for path, sent in frames.items():
            async with websockets.connect(f"{server.url.replace('http', 'ws')}{path}") as socket:
                await socket.recv()
                for frame in sent:
                    await socket.send(frame)
                await socket.recv()
    assert max(stalls, default=0.0) < MOST_S


def test_a_stall_is_what_no_thread_waited_for_a_processor() -> None:
    before = {"loop": 1.0, "other": 5.0, "ended": 9.0}
    after = {"loop": 1.25, "other": 5.125, "new": 0.0625}
    assert stall_of(before, after, late_s=0.5, loop_thread="loop") == 0.5 - 0.25 - 0.125


def test_a_single_stall_is_seen(tmp_path: Path) -> None:
    with WatchedServer(tmp_path / "stalls", ASR_BACKEND="scripted", TEST_BLOCK_S="0.15") as server:
        with server.watching() as stalls:
            server.get("/health")
        assert max(stalls, default=0.0) > MOST_S


def _repeat_messages(archive: Path, times: int) -> None:
    """Archiving as many would take seconds of CPU."""
    (chat,) = archive.glob("recordings/*/chat-*.json")
    result = json.loads(chat.read_text())
    chat.write_text(json.dumps({**result, "messages": result["messages"] * times}))


def _warm_up(server: WatchedServer) -> None:
    """The first recording loads native libraries, and loading one holds Python's lock."""
    answer = httpx.post(
        f"{server.url}/v1/audio/transcriptions", files={"file": SAMPLE.read_bytes()}, timeout=PATIENCE_S, verify=TLS
    )
    assert answer.status_code == 200


def _append(pcm: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()})
