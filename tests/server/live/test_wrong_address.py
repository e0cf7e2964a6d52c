"""Clients that ask at the wrong address, or whose proxy lost the upgrade, are told so."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
import websockets

from running import TLS, RunningServer

ADDRESSES = ("/ws/transcribe", "/v1/realtime", "/v1/listen")


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.mark.parametrize("path", ADDRESSES)
def test_a_plain_get_of_a_live_address_is_told_to_upgrade(server: RunningServer, path: str) -> None:
    answer = httpx.get(f"{server.url}{path}", timeout=30, verify=TLS)
    assert answer.status_code == 426
    assert answer.headers["upgrade"] == "websocket"
    told = answer.json()
    assert "Upgrade and Connection" in (told["err_msg"] if path == "/v1/listen" else told["error"]["message"])


@pytest.mark.parametrize("path", ["/", "/ws", "/v1/realtime/sessions", "/listen", "/v1/audio/transcriptions"])
async def test_a_websocket_at_another_path_is_answered_404_with_the_addresses(server: RunningServer, path: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(server.url.replace("http", "ws") + path):
            pass
    assert refused.value.response.status_code == 404
    told = json.loads(refused.value.response.body or b"")
    assert all(address in told["error"]["message"] for address in ADDRESSES)
    assert (told["statusCode"], told["error"]["type"]) == (404, "not_found_error")


@pytest.mark.parametrize("path", ADDRESSES)
async def test_a_slash_at_the_end_does_no_harm(server: RunningServer, path: str) -> None:
    query = "?encoding=linear16&sample_rate=16000" if path == "/v1/listen" else ""
    async with websockets.connect(f"{server.url.replace('http', 'ws')}{path}/{query}") as socket:
        assert socket.response is not None
        assert socket.response.status_code == 101


def test_a_page_is_told_that_a_proxy_must_pass_the_host(server: RunningServer) -> None:
    answer = httpx.get(
        f"{server.url}/v1/models", headers={"Origin": "https://captions.example.org"}, timeout=30, verify=TLS
    )
    assert answer.status_code == 403
    assert "Host" in answer.json()["error"]["message"]
