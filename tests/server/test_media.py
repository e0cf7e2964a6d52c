"""Media that harms its decoder, sent to a server: the answer says so, and the server goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from audio.bombs import flac_of_many_keys
from audio.encode import FLAC, M4A, WEBM, encode, tone
from running import PATIENCE_S, RunningServer, post, until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

KEYS = flac_of_many_keys(encode(tone(1, 16_000), 16_000, FLAC))
"""Takes a decoder half a minute before its first sample."""


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", DECODER_CPU_S="600", MAX_DECODERS="2") as server:
        yield server


@pytest.fixture
def seven_one(tmp_path: Path) -> Path:
    path = tmp_path / "seven-one.m4a"
    path.write_bytes(encode(np.stack([tone(3, 48_000)] * 8), 48_000, M4A))
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.flac"
    path.write_bytes(KEYS)
    return path


def test_a_recording_of_seven_one_is_transcribed(server: RunningServer, seven_one: Path) -> None:
    answer = post(server, seven_one, response_format="verbose_json")
    assert answer.status_code == 200
    assert answer.json()["duration"] == pytest.approx(3, abs=0.1)


def test_a_decoder_that_dies_is_a_refusal_of_its_file(server: RunningServer, seven_one: Path, keys: Path) -> None:
    with ThreadPoolExecutor() as clients:
        hit = clients.submit(post, server, keys)
        until(lambda: bool(server.children()))
        (decoder,) = server.children()
        assert post(server, seven_one).status_code == 200, "another file has another decoder"
        until(lambda: decoder.cpu_times().user > 1)  # it has started, and is at work on its file
        decoder.kill()
        answer = hit.result(PATIENCE_S)
    assert (answer.status_code, answer.json()["code"]) == (400, "undecodable_audio")
    assert server.health()["status"] == "ok"
    assert "the decoder process of a file died: SIGKILL" in server.log()


@pytest.mark.slow
def test_a_client_that_hangs_up_takes_its_decoder_with_it(server: RunningServer, keys: Path) -> None:
    with pytest.raises(httpx.ReadTimeout):
        post(server, keys, timeout=2.0)
    until(lambda: not server.children())


def test_live_streams_beyond_the_decoders_are_told_and_a_dead_decoder_is_its_stream_s_alone() -> None:
    stream = encode(tone(3, 48_000), 48_000, WEBM)
    with (
        RunningServer(ASR_BACKEND="scripted", MAX_LIVE_DECODERS="1") as server,
        connect(live_url(server)) as first,
        connect(live_url(server)) as second,
    ):
        for socket in (first, second):
            assert json.loads(socket.recv(PATIENCE_S))["status"] == "connected"
        transcribe(first, stream)
        second.send(stream)
        refused = json.loads(second.recv(PATIENCE_S))
        assert (refused["status"], refused["code"]) == ("error", "OVERLOADED")
        server.children()[0].kill()
        first.send(bytes(100))
        failed = next(event for event in events(first) if event.get("status") == "error")
        assert failed["code"] == "UNDECODABLE_AUDIO"
        transcribe(second, stream)
        assert server.health()["status"] == "ok"


def transcribe(socket: ClientConnection, stream: bytes) -> None:
    """Send it, and wait for its final."""
    socket.send(stream)
    socket.send('{"action": "flush"}')
    assert next(event for event in events(socket) if event.get("is_final"))["end_s"] > 0


def live_url(server: RunningServer) -> str:
    return f"{server.url.replace('http', 'ws')}/ws/transcribe?encoding=webm"


def events(socket: ClientConnection) -> Iterator[dict[str, object]]:
    while True:
        yield json.loads(socket.recv(PATIENCE_S))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda end: end.name)
def test_a_server_that_ends_leaves_no_decoder(server: RunningServer, seven_one: Path, end: signal.Signals) -> None:
    assert post(server, seven_one).status_code == 200
    decoders = server.children()
    assert len(decoders) == 1
    server.process.send_signal(end)
    server.process.wait(PATIENCE_S)
    _, alive = psutil.wait_procs(decoders, PATIENCE_S)
    assert alive == []
