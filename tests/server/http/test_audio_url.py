"""`audio_url`: the server gets the recording itself, for whoever is allowed to ask it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from outbound.web_server import HOST, WebServer
from running import EMBEDDED, TLS, RunningServer, post
from speech import word_error_rate

ROUTES = ("transcriptions", "subtitles", "translations", "alignments")


@pytest.fixture(scope="module")
def web(fixtures: Path) -> Iterator[WebServer]:
    files = {"weather.flac": (fixtures / "weather.flac").read_bytes(), "page.html": b"<html>no audio</html>"}
    with WebServer(files) as web:
        yield web


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(
        ASR_BACKEND=EMBEDDED, ALLOW_URLS="true", URL_SCHEMES="https,http", URL_ALLOWLIST=HOST, MAX_UPLOAD_MB="2"
    ) as server:
        yield server


def ask(server: RunningServer, route: str, url: str, **fields: str) -> httpx.Response:
    fields |= {"text": "and the weather was fine"} if route == "alignments" else {}
    return httpx.post(f"{server.url}/v1/audio/{route}", data={"audio_url": url, **fields}, timeout=90, verify=TLS)


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_takes_a_url(server: RunningServer, web: WebServer, route: str) -> None:
    answer = ask(server, route, web.url + "/files/weather.flac", **({"force": "true"} if route == "alignments" else {}))
    assert answer.status_code == 200, answer.text
    if route == "transcriptions":
        assert word_error_rate("weather.flac", answer.json()["text"]) <= 0.25
    if route == "subtitles":
        assert 'filename="weather.srt"' in answer.headers["content-disposition"]


def test_a_stream_takes_a_url(server: RunningServer, web: WebServer) -> None:
    answer = ask(server, "transcriptions", web.url + "/files/weather.flac", stream="true")
    assert "transcript.text.done" in answer.text


def test_deepgrams_body_with_a_url(server: RunningServer, web: WebServer) -> None:
    answer = httpx.post(
        server.url + "/v1/listen", json={"url": web.url + "/files/weather.flac"}, timeout=90, verify=TLS
    )
    (channel,) = answer.json()["results"]["channels"]
    assert word_error_rate("weather.flac", channel["alternatives"][0]["transcript"]) <= 0.25
    for body in (b"[]", b"{}", b'{"url": 5}', b"[" * 10_000, b"no json"):
        answer = httpx.post(
            server.url + "/v1/listen", content=body, headers={"content-type": "application/json"}, verify=TLS
        )
        assert answer.status_code == 400
        assert "url" in answer.json()["err_msg"]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/redirect/http://169.254.169.254/latest/", 400, "url_not_allowed"),
        ("/redirect/file:///etc/passwd", 400, "url_not_allowed"),
        ("/redirect/http://localhost/", 400, "url_not_allowed"),
        ("/endless", 413, "audio_too_large"),
        ("/shorter-than-it-says", 400, "url_not_fetched"),
        ("/status/404", 400, "url_not_fetched"),
        ("/files/page.html", 400, "not_audio"),
    ],
)
def test_what_is_wrong_is_a_client_error(
    server: RunningServer, web: WebServer, path: str, status: int, code: str
) -> None:
    answer = ask(server, "transcriptions", web.url + path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if code.startswith("url"):
        assert answer.json()["error"]["param"] == "audio_url"


def test_a_file_and_a_url_contradict_each_other(server: RunningServer, web: WebServer, fixtures: Path) -> None:
    answer = post(server, fixtures / "weather.flac", audio_url=web.url + "/files/weather.flac")
    assert answer.status_code == 400
    assert "either 'file' or 'audio_url'" in answer.json()["message"]


def test_urls_are_off_unless_they_are_allowed(web: WebServer) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        before = list(web.requests)
        answers: list[Any] = [
            ask(server, "transcriptions", web.url + "/files/weather.flac").json()["message"],
            httpx.post(server.url + "/v1/listen", json={"url": web.url + "/files/weather.flac"}, verify=TLS).json()[
                "err_msg"
            ],
        ]
        assert all("ALLOW_URLS" in answer for answer in answers), answers
        assert web.requests == before
