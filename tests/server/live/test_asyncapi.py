"""`docs/asyncapi.yaml` is true: what a server sends in each dialect is one of the messages that it describes."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import websockets
import yaml

from running import PATIENCE_S, RunningServer
from steno.server.live.dialects.native import ACTIONS
from steno.server.live.dialects.native_options import OPTIONS
from talking import BYTES_PER_S, pcm_file

DOCUMENT = yaml.safe_load((Path(__file__).parents[3] / "docs" / "asyncapi.yaml").read_text(encoding="utf-8"))
MESSAGES = DOCUMENT["components"]["messages"]
NOT_PROVOKED = {"lag", "openaiFailed", "audio", "speakers"}
"""Needs a server that cannot keep up, or one that fails. `test_live_speakers` provokes `speakers`."""


def schemas_of(channel: str, action: str) -> Mapping[str, Any]:
    """The payload schemas of a channel by the names of their messages."""
    operation = DOCUMENT["operations"][f"{action}{channel.title()}"]
    names = [message["$ref"].rpartition("/")[2] for message in operation["messages"]]
    references = [DOCUMENT["channels"][channel]["messages"][name]["$ref"].rpartition("/")[2] for name in names]
    return {name: MESSAGES[name]["payload"] for name in references}


def names_of(message: Any, schemas: Mapping[str, Any]) -> list[str]:
    return [name for name, schema in schemas.items() if jsonschema.Draft202012Validator(schema).is_valid(message)]


async def conversation(server: RunningServer, path: str, frames: list[Any], *, stop: bool = False) -> list[Any]:
    """What comes while the frames are sent and until the connection is closed. `stop`: the server is stopped then."""
    received: list[Any] = []

    async def listen() -> None:
        with contextlib.suppress(websockets.ConnectionClosedError):  # 1012: it shuts down
            async for text in socket:
                received.append(json.loads(text))

    async with (
        asyncio.timeout(PATIENCE_S),
        websockets.connect(server.url.replace("http", "ws") + path, max_size=None) as socket,
    ):
        listening = asyncio.create_task(listen())
        for frame in frames:
            await socket.send(frame if isinstance(frame, bytes) else json.dumps(frame))
            await asyncio.sleep(0.02)
        while not any(over in str(each) for each in received for over in ("final", "completed", "EndOfTurn")):
            await asyncio.sleep(0.05)
        if stop:
            await asyncio.to_thread(server.stop)
        await listening
    return received


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> list[bytes]:
    data = pcm_file(fixtures / "letter.flac") + bytes(2 * BYTES_PER_S)
    return [data[start : start + 6400] for start in range(0, len(data), 6400)]


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted", DRAIN_TIMEOUT="2") as server:
        yield server


def test_the_native_dialect_sends_what_is_described(server: RunningServer, speech: list[bytes]) -> None:
    before = [{"action": "ping"}, {"action": "reset"}, {"action": "config", "language": "en"}, {"action": "no"}]
    path = "/ws/transcribe?words=true&diarize=true"
    closed = asyncio.run(conversation(server, path + "&captions=srt", [*before, *speech, {"action": "close"}]))
    check("native", closed + asyncio.run(conversation(server, path, speech, stop=True)))


def test_the_openai_dialect_sends_what_is_described(server: RunningServer, speech: list[bytes]) -> None:
    appended = [{"type": "input_audio_buffer.append", "audio": base64.b64encode(part).decode()} for part in speech]
    transcription = {"model": "gpt-4o-transcribe-diarize"}
    session = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
    update = {"type": "session.update", "session": session}
    frames = [update, {"type": "response.create"}, {"type": "input_audio_buffer.clear"}, *appended]
    check("openai", asyncio.run(conversation(server, "/v1/realtime?intent=transcription", frames, stop=True)))


def test_the_deepgram_dialect_sends_what_is_described(server: RunningServer, speech: list[bytes]) -> None:
    path = "/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true&vad_events=true&utterance_end_ms=1000"
    path += "&diarize=true"
    before = [{"type": "Configure", "keyterms": []}, {"type": "no"}]
    closed = asyncio.run(conversation(server, path, [*before, *speech, {"type": "CloseStream"}]))
    check("deepgram", closed + asyncio.run(conversation(server, path, speech, stop=True)))


def test_flux_sends_what_is_described(server: RunningServer, speech: list[bytes]) -> None:
    path = "/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000"
    thresholds = {"type": "Configure", "thresholds": {"eot_threshold": 0.8}}
    before = [thresholds, {"type": "Configure", "numerals": True}, {"type": "no"}]
    check("flux", asyncio.run(conversation(server, path, [*before, *speech], stop=True)))


def check(channel: str, received: list[Any]) -> None:
    schemas = schemas_of(channel, "send")
    seen: set[str] = set()
    for message in received:
        names = names_of(message, schemas)
        assert len(names) == 1, (names, message)
        seen.update(names)
    assert seen == set(schemas) - NOT_PROVOKED


def test_options_and_actions_of_the_native_dialect_are_those_that_the_server_takes() -> None:
    query = DOCUMENT["channels"]["native"]["bindings"]["ws"]["query"]["properties"]
    assert set(query) == {*OPTIONS, "model", "api_key"}
    assert MESSAGES["action"]["payload"]["properties"]["action"]["enum"] == list(ACTIONS)
