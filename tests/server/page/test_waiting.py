"""What the page says while its captions do not come yet. The server's messages are put between its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from running import RunningServer
from server.page.browser import Visit, chromium, microphone
from talking import BYTES_PER_S

pytestmark = pytest.mark.slow  # a browser, which not every machine has


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Hears nothing."""
    with chromium(microphone(tmp_path_factory.mktemp("microphone") / "silence.wav", bytes(BYTES_PER_S))) as browser:
        yield browser


@pytest.fixture
def live(server: RunningServer, browser: Any) -> Iterator[tuple[Visit, Any]]:
    """A live page, and its socket."""
    sockets: list[Any] = []

    def between(socket: Any) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    with Visit(browser, server.url) as visit:
        visit.page.route_web_socket("**/ws/transcribe*", between)
        visit.page.click("#start")
        visit.wait_for_state("live")
        yield visit, sockets[0]


def test_a_model_that_loads_is_told_as_that_until_it_is_there(live: tuple[Visit, Any]) -> None:
    visit, socket = live
    socket.send(json.dumps({"status": "loading"}))
    visit.see("[data-topic=loading]", "The speech model is loading")
    assert visit.page.locator("[data-topic=lag]").count() == 0
    socket.send(json.dumps({"status": "loaded"}))
    visit.wait_until("!document.querySelector('[data-topic=loading]')")


def test_the_banner_of_a_lag_goes_when_the_server_says_no_more_of_it(live: tuple[Visit, Any]) -> None:
    visit, socket = live
    socket.send(json.dumps({"status": "lag", "behind_s": 4.0, "rtf": 2.0}))
    visit.see("[data-topic=lag]", "Captions are 4 s late")
    visit.wait_until("!document.querySelector('[data-topic=lag]')")
