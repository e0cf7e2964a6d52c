"""A client that sends nothing more after its last word, on a real server, in each dialect."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets

from running import RunningServer
from talking import BYTES_PER_S, PATIENCE_S, parts, pcm_file

PACE = 4.0
"""Times real time."""


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


def as_bytes(part: bytes) -> bytes:
    return part


def as_append(part: bytes) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(part).decode()})


@pytest.mark.parametrize(
    ("path", "frame", "is_final"),
    [
        ("/ws/transcribe", as_bytes, lambda message: message.get("is_final")),
        ("/v1/realtime", as_append, lambda message: message["type"].endswith("transcription.completed")),
        ("/v1/listen?encoding=linear16&sample_rate=16000", as_bytes, lambda message: message.get("speech_final")),
    ],
    ids=["native", "openai", "deepgram"],
)
async def test_a_client_that_mutes_gets_its_final(
    server: RunningServer,
    path: str,
    frame: Callable[[bytes], bytes | str],
    is_final: Callable[[dict[str, Any]], bool],
    fixtures: Path,
) -> None:
    speech = pcm_file(fixtures / "letter.flac")[: 2 * BYTES_PER_S]
    async with websockets.connect(server.url.replace("http", "ws") + path) as socket, asyncio.timeout(PATIENCE_S):
        for part in parts(speech, 3200):
            await socket.send(frame(part))
            await asyncio.sleep(len(part) / BYTES_PER_S / PACE)
        while not is_final(json.loads(await socket.recv())):
            pass
