"""The review of an archive over HTTP."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from command_line import run_command
from running import PATIENCE_S, TLS, RunningServer
from steno.archive.archive_folder import ArchiveFolder
from steno.errors import SettingsError
from steno.server.app import create_app
from steno.settings import Settings

SCRIPTED = {**os.environ, "ASR_BACKEND": "scripted"}


@pytest.fixture(scope="module")
def made(fixtures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    chat = folder / "chat.jsonl"
    chat.write_text("".join(json.dumps({"time": n, "author": "kim", "text": f"{n}"}) + "\n" for n in range(5)))
    steno(folder / "archive", "add", fixtures / "letter.flac", "--chat", chat)
    steno(folder / "archive", "add", fixtures / "weather.flac")
    steno(folder / "archive", "run")
    steno(folder / "archive", "add", fixtures / "train.flac")
    return folder / "archive"


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> ArchiveFolder:
    return ArchiveFolder.open(shutil.copytree(made, tmp_path / "archive"))


@pytest.fixture
def server(archive: ArchiveFolder) -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", ARCHIVE_DIR=str(archive.path)) as server:
        yield server


def steno(folder: Path, *words: str | Path) -> None:
    assert run_command("archive", *words, "-a", folder, environment=SCRIPTED).returncode == 0


def asked(server: RunningServer, method: str, path: str, body: object) -> httpx.Response:
    return httpx.request(method, f"{server.url}/v1/archive/{path}", json=body, timeout=PATIENCE_S, verify=TLS)


def test_recordings_that_have_a_transcript_are_listed(server: RunningServer, archive: ArchiveFolder) -> None:
    letter, _, weather = archive.ids()
    listed = {each["id"]: each for each in server.get("/v1/archive").json()["data"]}
    assert listed.keys() == {letter, weather}
    assert (listed[letter]["has_chat"], listed[letter]["clock"]) == (True, "unclear")
    assert (listed[weather]["has_chat"], listed[weather]["clock"]) == (False, "none")
    assert listed[letter]["segments"] == 1
    found: dict[str, Any] = server.get(f"/v1/archive/{letter}").json()
    assert [segment["text"] for segment in found["segments"]] == ["w0 w1 w2 w3 w4 w5 w6"]
    assert [message["time_s"] for message in found["messages"]] == [0, 1, 2, 3, 4]
    levels = server.get(f"/v1/archive/{letter}/levels").json()
    assert len(levels["levels_db"]) == 15
    assert max(levels["levels_db"]) > -30


def test_the_audio_takes_ranges(server: RunningServer, archive: ArchiveFolder) -> None:
    letter = archive.ids()[0]
    url = "/" + server.get(f"/v1/archive/{letter}").json()["audio_url"]
    whole = server.get(url)
    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    part = server.get(url, headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    foreign = server.get(url, headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403


def test_the_chat_is_placed_by_anchors_until_they_are_taken_back(server: RunningServer, archive: ArchiveFolder) -> None:
    letter = archive.ids()[0]
    estimated = archive.manifest(letter).clock
    body = {"anchors": [{"chat_s": 3.0, "recording_s": 1.0}], "by": "kim"}
    clock = asked(server, "PUT", f"{letter}/anchors", body).json()["clock"]
    assert (clock["segments"][0]["offset_s"], clock["confirmed_by"]) == (-2.0, "kim")
    saved = archive.manifest(letter)
    assert saved.clock is not None
    assert saved.clock.model_dump(mode="json") == clock
    steno(archive.path, "run")
    placed = archive.result_file(archive.manifest(letter), "aligned")
    assert placed is not None
    assert [each["time_s"] for each in json.loads(placed.read_text())["messages"]] == [-2, -1, 0, 1, 2]
    taken_back = asked(server, "PUT", f"{letter}/anchors", {"anchors": []}).json()["clock"]
    assert estimated is not None
    assert taken_back == estimated.model_dump(mode="json")
    assert len(archive.manifest(letter).clocks) == 3
    assert asked(server, "POST", f"{letter}/clock/confirm", {"by": "kim"}).status_code == 400


def test_a_verdict_is_replaced_and_taken_back(server: RunningServer, archive: ArchiveFolder) -> None:
    letter = archive.ids()[0]
    for verdict in ("accepted", "rejected"):
        body = {"start_s": 0.0, "end_s": 3.5, "verdict": verdict, "by": "kim"}
        assert asked(server, "PUT", f"{letter}/verdict", body).status_code == 204
        assert [(each.verdict, each.by) for each in archive.manifest(letter).reviews] == [(verdict, "kim")]
        assert server.get(f"/v1/archive/{letter}").json()["segments"][0]["verdict"] == verdict
    assert asked(server, "PUT", f"{letter}/verdict", {"start_s": 0.0, "end_s": 3.5, "verdict": None}).status_code == 204
    assert archive.manifest(letter).reviews == ()


def test_what_is_not_there_and_what_is_wrong_is_refused(server: RunningServer, archive: ArchiveFolder) -> None:
    letter, train, weather = archive.ids()
    for path in ("no-such", "..", "%2e%2e", f"..%2Frecordings%2F{letter}", train, f"{train}/audio", f"{letter}/curve"):
        assert server.get(f"/v1/archive/{path}").status_code == 404, path
    before = archive.manifest(letter)
    for body in (
        {"start_s": -1, "end_s": 2, "verdict": "accepted"},
        {"start_s": 0, "end_s": 2, "verdict": "perhaps"},
        {"start_s": 0, "end_s": 2, "verdict": "accepted", "by": "x" * 101},
    ):
        assert asked(server, "PUT", f"{letter}/verdict", body).status_code in (400, 422)
    no_chat = asked(server, "PUT", f"{weather}/anchors", {"anchors": [{"chat_s": 3.0, "recording_s": 1.0}]})
    assert (no_chat.status_code, "no chat" in no_chat.text) == (400, True)
    large = asked(server, "PUT", f"{letter}/anchors", {"anchors": [], "by": "x" * 300_000})
    assert (large.status_code, "Content-Length" in large.text) == (400, True)
    endless = httpx.put(
        f"{server.url}/v1/archive/{letter}/anchors", content=iter([b"{}"]), timeout=PATIENCE_S, verify=TLS
    )
    assert endless.status_code == 400
    assert archive.manifest(letter) == before


def test_a_folder_that_is_no_archive_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ARCHIVE_DIR"):
        create_app(Settings(asr_backend="scripted", archive_dir=tmp_path))


def test_an_anchor_out_of_range_is_refused_and_an_invalid_manifest_hides_no_other(
    server: RunningServer, archive: ArchiveFolder
) -> None:
    letter, _, weather = archive.ids()
    body = {"anchors": [{"chat_s": -1e308, "recording_s": 1e308}], "by": "kim"}
    assert asked(server, "PUT", f"{letter}/anchors", body).status_code == 400
    (archive.folder_of(letter) / "manifest.json").write_text("{}")
    assert [each["id"] for each in server.get("/v1/archive").json()["data"]] == [weather]
