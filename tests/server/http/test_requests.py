"""How requests may be written (fields, languages, paths, origins), and what is said of those that are wrong."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from audio.encode import FLAC, MKV, encode, tone
from steno import settings
from steno.audio.decode import decode
from steno.server.app import create_app
from steno.types import SAMPLE_RATE

URL = "/v1/audio/transcriptions"
CAPTIONER = "https://captions.example.org"


def client_of(monkeypatch: pytest.MonkeyPatch, **environment: str) -> TestClient:
    for name, value in {"ASR_BACKEND": "scripted", **environment}.items():
        monkeypatch.setenv(name, value)
    return TestClient(create_app(settings.load()), base_url="http://localhost:8000")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    with client_of(monkeypatch) as client:
        yield client


@pytest.fixture(scope="module")
def weather(fixtures: Path) -> bytes:
    return (fixtures / "weather.flac").read_bytes()


def send(
    client: TestClient, recording: bytes, path: str = URL, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    return client.post(path, files={"file": ("talk.flac", recording)}, data=fields, headers=headers)


# fields


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]", "timestamp_granularities[0]"])
def test_a_repeated_field_has_a_value_with_and_without_brackets(client: TestClient, weather: bytes, name: str) -> None:
    answer = send(client, weather, response_format="verbose_json", **{name: "word"})
    assert answer.json()["words"]
    assert "segments" not in answer.json()


def test_indexed_values_are_all_taken(client: TestClient, weather: bytes) -> None:
    fields = {"timestamp_granularities[0]": "word", "timestamp_granularities[1]": "segment"}
    answer = send(client, weather, response_format="verbose_json", **fields).json()
    assert answer["words"]
    assert answer["segments"]


def test_a_wrong_value_without_brackets_is_refused_like_one_with_them(client: TestClient, weather: bytes) -> None:
    answer = send(client, weather, timestamp_granularities="sentence")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "timestamp_granularities[].0")


@pytest.mark.parametrize("language", ["en", "eng", "English", "en-US", "EN"])
def test_a_language_is_a_code_of_two_or_three_letters_or_a_name(
    client: TestClient, weather: bytes, language: str
) -> None:
    assert send(client, weather, language=language).json()["language"] == "english"


@pytest.mark.parametrize(
    ("given", "code"), [("cmn", "zh"), ("Mandarin", "zh"), ("ger", "de"), ("deu", "de"), ("tl", "fil")]
)
def test_other_names_of_a_language_are_known(given: str, code: str) -> None:
    from steno.languages import code_of

    assert code_of(given) == code


@pytest.mark.parametrize("language", ["und", "auto", ""])
def test_an_undetermined_language_is_detected(client: TestClient, weather: bytes, language: str) -> None:
    assert send(client, weather, language=language).status_code == 200


def test_languages_with_one_entry_set_the_language(client: TestClient, weather: bytes) -> None:
    assert send(client, weather, **{"languages[]": "de"}).json()["language"] == "german"
    several = send(client, weather, **{"languages[]": ["de", "en"]})
    assert several.headers["X-Steno-Ignored"] == "languages[]"


def test_word_hints_that_the_recogniser_cannot_use_are_named_and_no_error(client: TestClient, weather: bytes) -> None:
    answer = send(client, weather, hotwords="Kyutai", **{"keywords[]": ["Qwen", "steno"]})
    assert answer.status_code == 200
    ignored = answer.headers.get("X-Steno-Ignored", "")
    takes_context = client.get("/page/about.json").json()["hotwords"]
    assert (ignored == "hotwords, keywords[]") is not takes_context


def test_json_says_language_and_duration_as_well(client: TestClient, weather: bytes) -> None:
    answer = send(client, weather, language="en").json()
    assert answer["language"] == "english"
    assert answer["duration"] == pytest.approx(4.48, abs=0.05)


def test_a_star_among_the_aliases_is_any_model(monkeypatch: pytest.MonkeyPatch, weather: bytes) -> None:
    with client_of(monkeypatch, MODEL_ALIASES="*") as client:
        assert send(client, weather, model="whatever/model-7b").status_code == 200


@pytest.mark.parametrize("strategy", ["foo", "{}", '{"type": "semantic_vad"}', '["auto"]', "{"])
def test_a_chunking_strategy_that_openai_lacks_is_refused(client: TestClient, weather: bytes, strategy: str) -> None:
    answer = send(client, weather, chunking_strategy=strategy)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "chunking_strategy")


def test_openais_chunking_strategies_are_taken(client: TestClient, weather: bytes) -> None:
    vad = '{"type": "server_vad", "threshold": 0.5, "silence_duration_ms": 200}'
    for strategy in ("auto", vad):
        answer = send(client, weather, chunking_strategy=strategy)
        assert answer.status_code == 200
        assert ("chunking_strategy" in answer.headers.get("X-Steno-Ignored", "")) is (strategy == vad)


# the recording


def test_a_damaged_recording_is_transcribed_and_the_damage_named(client: TestClient, weather: bytes) -> None:
    cut = encode(tone(20, 48_000), 48_000, FLAC)[:200_000]
    answer = send(client, cut, response_format="verbose_json")
    warnings = answer.json()["warnings"]
    assert "the header says 20.0 s" in warnings[-1]
    assert answer.headers["X-Steno-Warnings"] == "; ".join(warnings)
    assert send(client, cut).json()["warnings"] == warnings
    assert "warnings" not in send(client, weather).json()


def test_a_track_that_is_not_there_is_refused_and_one_that_is_taken(client: TestClient) -> None:
    movie = encode(tone(2, 48_000), 48_000, MKV, silent_tracks=1)
    answer = send(client, movie, track="3")
    assert (answer.status_code, answer.json()["code"]) == (400, "audio_track_not_found")
    assert answer.json()["error"]["param"] == "track"
    assert send(client, movie, track="1").json()["duration"] == pytest.approx(2, abs=0.1)
    assert send(client, movie, track="2").json()["duration"] < 0.1


def test_inverted_stereo_is_not_silence_through_the_server(client: TestClient, fixtures: Path) -> None:
    speech = np.concatenate(list(decode(fixtures / "weather.flac", max_seconds=None)))
    stereo = encode(np.stack([speech, -speech]), SAMPLE_RATE, FLAC)
    assert send(client, stereo).json()["text"] == send(client, encode(speech, SAMPLE_RATE, FLAC)).json()["text"] != ""


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"json": {"file": "talk.mp3"}}, "content type application/json; expected multipart/form-data"),
        (
            {"content": b"RIFF", "headers": {"Content-Type": "audio/wav"}},
            "content type audio/wav; expected multipart/form-data",
        ),
        ({"content": b"RIFF"}, "content type none; expected multipart/form-data"),
        ({"files": {"model": (None, "whisper-1")}}, "has no field 'file'"),
        ({"files": {"file": (None, "https://example.org/a.mp3")}}, "is a URL; send URLs as audio_url"),
        ({"files": {"file": (None, b"RIFF")}}, "is text, or has no file name"),
        ({"files": {"audio": ("a.mp3", b"RIFF")}}, "has no field 'file'"),
    ],
)
def test_a_recording_that_is_sent_otherwise_is_told_how(
    client: TestClient, request_: dict[str, Any], message: str
) -> None:
    answer = client.post(URL, **request_)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert message in error["message"]
    assert "curl -F file=@talk.mp3" in error["message"]
    assert error["param"] == "file"


# storage


class Full(io.BytesIO):
    """A disk without room."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self._error = error

    def write(self, _data: Any) -> int:
        raise OSError(self._error, "no room")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_an_upload_that_cannot_be_stored_is_the_servers_lack_and_small_ones_go_on(
    client: TestClient, weather: bytes, monkeypatch: pytest.MonkeyPatch, logs: list[str], error: int
) -> None:
    with monkeypatch.context() as full:
        full.setattr("tempfile.TemporaryFile", lambda *_, **__: Full(error))
        large = weather + bytes(2 * 2**20)  # more than is kept in memory
        answer = send(client, large)
        assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
        assert any("cannot be stored" in line for line in logs)
        assert send(client, weather).status_code == 200
    assert send(client, large).status_code == 200


def test_the_other_ways_to_upload_name_a_full_disk_as_well(
    client: TestClient, weather: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = weather + bytes(2 * 2**20)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda *_, **__: Full(errno.ENOSPC))
    whisper = client.post("/asr", files={"audio_file": ("a.flac", large)})
    assert (whisper.status_code, whisper.json()["code"]) == (507, "insufficient_storage")
    deepgram = client.post("/v1/listen", content=large, headers={"Content-Type": "audio/flac"})
    assert (deepgram.status_code, deepgram.json()["err_code"]) == (507, "INSUFFICIENT_STORAGE")


# paths and prefixes


@pytest.mark.parametrize("path", [URL, f"{URL}/", f"/steno{URL}", f"/steno{URL}/"])
def test_a_path_is_served_with_and_without_the_prefix_and_a_slash(
    monkeypatch: pytest.MonkeyPatch, weather: bytes, path: str
) -> None:
    with client_of(monkeypatch, ROOT_PATH="/steno") as client:
        assert send(client, weather, path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/steno/v1/models", "/steno/v1/models/", "//v1/models", "/steno//v1/models"]
)
def test_no_way_of_writing_a_path_gets_past_the_keys(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with client_of(monkeypatch, ROOT_PATH="/steno", API_KEYS="secret") as client:
        assert client.get(f"http://localhost:8000{path}").status_code in (401, 404)


def test_a_path_that_only_begins_like_the_prefix_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(monkeypatch, ROOT_PATH="/steno") as client:
        assert client.get("/stenographer/health").status_code == 404
        assert client.get("/steno/health").status_code == client.get("/health").status_code == 200


def test_the_page_and_swagger_ask_for_their_parts_below_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(monkeypatch, ROOT_PATH="/steno/") as client:
        page = client.get("/steno/").text
        assert 'src="/' not in page
        assert 'href="/' not in page
        docs = client.get("/steno/docs").text
        assert "/steno/openapi.json" in docs
        assets = [part.split('"')[0] for part in docs.split('src="')[1:]]
        assert assets
        assert all(client.get(asset).status_code == 200 for asset in assets)
        assert client.get("/steno/openapi.json").json()["servers"] == [{"url": "/steno"}]


def test_deepgram_s_errors_have_their_form_below_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(monkeypatch, ROOT_PATH="/steno", API_KEYS="secret") as client:
        answer = client.post("/steno/v1/listen", content=b"RIFF")
        assert answer.status_code == 401
        assert answer.json()["err_code"]
        assert answer.headers["dg-error"]


@pytest.mark.parametrize("value", ["steno", "/a b", "/steno?x", "https://example.org/steno"])
def test_a_prefix_that_is_no_path_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    from steno.errors import SettingsError

    monkeypatch.setenv("ROOT_PATH", value)
    with pytest.raises(SettingsError, match="ROOT_PATH"):
        settings.load()


# origins


def preflight(client: TestClient, origin: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,x-request-id"}
    return client.options(URL, headers={"Origin": origin, **asked})


def test_a_page_that_is_allowed_may_ask_and_read(monkeypatch: pytest.MonkeyPatch, weather: bytes) -> None:
    with client_of(monkeypatch, ALLOWED_ORIGINS=CAPTIONER) as client:
        asked = preflight(client, CAPTIONER)
        assert asked.status_code == 200
        assert asked.headers["Access-Control-Allow-Origin"] == CAPTIONER
        assert "authorization" in asked.headers["Access-Control-Allow-Headers"]
        answer = send(client, weather, headers={"Origin": CAPTIONER})
        assert answer.headers["Access-Control-Allow-Origin"] == CAPTIONER
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]


def test_another_page_may_neither_ask_nor_read(monkeypatch: pytest.MonkeyPatch, weather: bytes) -> None:
    with client_of(monkeypatch, ALLOWED_ORIGINS=CAPTIONER) as client:
        assert preflight(client, "https://evil.example").status_code == 403
        for answer in (
            send(client, weather, headers={"Origin": "https://evil.example"}),
            client.get("/health", headers={"Origin": "https://evil.example"}),
        ):
            assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://localhost:8000"])
def test_without_keys_and_names_only_pages_of_this_host_may_read(client: TestClient, origin: str) -> None:
    assert preflight(client, origin).headers["Access-Control-Allow-Origin"] == origin
    assert preflight(client, "https://evil.example").status_code == 403


def test_with_keys_any_page_may_ask_for_it_needs_a_key(monkeypatch: pytest.MonkeyPatch, weather: bytes) -> None:
    with client_of(monkeypatch, API_KEYS="secret") as client:
        assert preflight(client, "https://anywhere.example").status_code == 200
        refused = send(client, weather, headers={"Origin": "https://anywhere.example"})
        assert refused.status_code == 401
        assert refused.headers["Access-Control-Allow-Origin"] == "https://anywhere.example", "so that it reads why"
