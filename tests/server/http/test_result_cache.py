"""Answers that are kept: for whom, until when, and that a broken cache costs nothing but time."""

from __future__ import annotations

import io
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import diskcache
import httpx
import pytest

from llm_server import LlmServer, good
from running import EMBEDDED, TLS, RunningServer
from steno.server.http.answer import Answer
from steno.server.http.forms import SubtitleForm, TranscriptionForm
from steno.server.http.result_cache import ResultCache
from translation.misbehaviours import BAD

ANSWER = Answer("wörter".encode(), "text/plain", {"X-Timing-Mode": "measured", "Server-Timing": "decode;dur=1"}, ".srt")
KEYS = {"first": {"Authorization": "Bearer one"}, "second": {"Authorization": "Bearer two"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, CACHE_DIR=str(folder), API_KEYS="one,two") as server:
        yield server


def ask(
    server: RunningServer, recording: Path, route: str = "transcriptions", key: str = "first", **fields: str
) -> httpx.Response:
    headers = {**KEYS[key], **({"Cache-Control": fields.pop("control")} if "control" in fields else {})}
    with recording.open("rb") as file:
        answer = httpx.post(
            f"{server.url}/v1/audio/{route}", files={"file": file}, data=fields, headers=headers, timeout=90, verify=TLS
        )
    return answer.raise_for_status()


def test_the_second_answer_is_the_first(server: RunningServer, fixtures: Path, tmp_path: Path) -> None:
    first = ask(server, fixtures / "weather.flac", "subtitles")
    assert first.headers["cache-status"] == "steno; fwd=miss; stored"
    copy = tmp_path / "another name.flac"
    copy.write_bytes((fixtures / "weather.flac").read_bytes())
    second = ask(server, copy, "subtitles")
    assert second.headers["cache-status"] == "steno; hit"
    assert second.content == first.content
    assert second.headers["x-timing-mode"] == first.headers["x-timing-mode"]
    assert "server-timing" in first.headers
    assert "server-timing" not in second.headers
    assert 'filename="another name.srt"' in second.headers["content-disposition"]


def test_other_options_recordings_and_keys_are_other_answers(server: RunningServer, fixtures: Path) -> None:
    weather = fixtures / "weather.flac"
    ask(server, weather)
    assert ask(server, weather).headers["cache-status"] == "steno; hit"
    for answer in (
        ask(server, weather, response_format="text"),
        ask(server, weather, "translations"),
        ask(server, weather, key="second"),
        ask(server, fixtures / "train.flac"),
    ):
        assert answer.headers["cache-status"] == "steno; fwd=miss; stored"


def test_a_request_may_ask_for_fresh_work(server: RunningServer, fixtures: Path) -> None:
    weather = fixtures / "weather.flac"
    ask(server, weather)
    assert ask(server, weather, control="no-cache").headers["cache-status"] == "steno; fwd=request; stored"
    assert ask(server, weather, control="no-store").headers["cache-status"] == "steno; fwd=request"


@pytest.mark.slow
def test_an_answer_outlives_the_server_and_other_settings_do_not_get_it(fixtures: Path, tmp_path: Path) -> None:
    for settings, status in (({}, "miss; stored"), ({}, "hit"), ({"MAX_QUEUE": "3"}, "hit")):
        with RunningServer(ASR_BACKEND="scripted", CACHE_DIR=str(tmp_path), API_KEYS="one", **settings) as server:
            assert ask(server, fixtures / "weather.flac").headers["cache-status"].endswith(status)
    with RunningServer(ASR_BACKEND="scripted", CACHE_DIR=str(tmp_path), API_KEYS="one", VAD_THRESHOLD="0.4") as server:
        assert "miss" in ask(server, fixtures / "weather.flac").headers["cache-status"]


def test_keys_share_answers_only_if_they_may(fixtures: Path, tmp_path: Path) -> None:
    with RunningServer(
        ASR_BACKEND="scripted", CACHE_DIR=str(tmp_path), API_KEYS="one,two", CACHE_SHARED="true"
    ) as server:
        ask(server, fixtures / "weather.flac")
        assert ask(server, fixtures / "weather.flac", key="second").headers["cache-status"] == "steno; hit"


@pytest.mark.slow
def test_a_translation_that_failed_in_part_is_not_kept(fixtures: Path, tmp_path: Path) -> None:
    with (
        LlmServer() as llm,
        RunningServer(
            ASR_BACKEND=EMBEDDED,
            CACHE_DIR=str(tmp_path),
            API_KEYS="one",
            OPENAI_BASE_URL=llm.url,
            TRANSLATE_MODEL="test",
            TRANSLATE_RETRIES="0",
        ) as server,
    ):
        llm.turn(next(iter(BAD.values())))
        failed = ask(server, fixtures / "weather.flac", "translations", language="de")
        assert "x-untranslated" in failed.headers
        llm.turn(good)
        assert ask(server, fixtures / "weather.flac", "translations", language="de").headers["cache-status"] == (
            "steno; fwd=miss; stored"
        )


def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(AssertionError, match="CACHE_DIR"),
        RunningServer(ASR_BACKEND="scripted", CACHE_DIR=str(tmp_path / "file")),
    ):
        pass


async def test_answers_are_stored_as_they_are_and_the_oldest_make_way(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, 2**20, "model")
    assert await cache.get("a") is None
    assert await cache.put("a", ANSWER)
    kept = await cache.get("a")
    assert kept == Answer(ANSWER.body, ANSWER.media_type, {"X-Timing-Mode": "measured"}, ".srt")
    for n in range(40):
        assert await cache.put(str(n), Answer(os.urandom(100_000), "text/plain"))
    assert await cache.get("a") is None
    assert await cache.get("39") is not None
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) < 3 * 2**20
    await cache.aclose()


async def test_a_damaged_cache_is_no_cache(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, 2**20, "model")
    await cache.put("a", ANSWER)
    with sqlite3.connect(tmp_path / "cache.db") as database:
        database.execute("UPDATE Cache SET value = x'00'")
    assert await cache.get("a") is None
    with sqlite3.connect(tmp_path / "cache.db") as database:
        database.execute("DROP TABLE Cache")
    database.close()
    assert await cache.get("a") is None
    assert not await cache.put("a", ANSWER)
    await cache.aclose()


async def test_no_pickle_of_the_folder_is_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    with diskcache.Cache(str(tmp_path / "cache")) as foreign:
        foreign.set("a", Bomb())
    cache = ResultCache(tmp_path / "cache", 2**20, "model")
    assert await cache.get("a") is None
    assert not (tmp_path / "exploded").exists()
    await cache.aclose()


async def test_the_key_is_of_all_that_makes_the_answer(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "one", 2**20, "model")
    other = ResultCache(tmp_path / "other", 2**20, "another model")
    recording = io.BytesIO(b"recording")
    keys = {
        await cache.key_of(recording, "subtitles", SubtitleForm(), "me"),
        await cache.key_of(recording, "subtitles", SubtitleForm(max_lines=1), "me"),
        await cache.key_of(recording, "transcription", TranscriptionForm(), "me"),
        await cache.key_of(recording, "subtitles", SubtitleForm(), "you"),
        await cache.key_of(io.BytesIO(b"another"), "subtitles", SubtitleForm(), "me"),
        await other.key_of(recording, "subtitles", SubtitleForm(), "me"),
    }
    assert len(keys) == 6
    assert await cache.key_of(recording, "subtitles", SubtitleForm(audio_url="https://a/"), "me") in keys
    for one in (cache, other):
        await one.aclose()
