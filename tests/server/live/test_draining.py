"""SIGTERM with a session open, in each dialect: what is being said gets its final, and the client is sent elsewhere."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import websockets

from running import STOP_S, RunningServer, until
from steno.audio.decode import decode
from steno.audio.pcm import to_s16le
from talking import PATIENCE_S, parts

CHUNK_S = 0.1
Message = dict[str, Any]


@dataclass(frozen=True)
class LiveDialect:
    path: str
    sample_rate: int
    frame: Callable[[bytes], str | bytes]
    is_interim: Callable[[Message], bool]
    final_of: Callable[[Message], str | None]
    """The text of a final; None for other messages."""
    is_notice: Callable[[Message], bool]
    """Whether the message says that the server has begun to shut down."""
    code_of: Callable[[Message], str | None]
    """The code of an error."""
    refusal: tuple[str, int]
    """Code of the error that a new client gets, and the close code, or the HTTP status where it is refused in HTTP."""


def deepgram_text(message: Message) -> str | None:
    if message["type"] != "Results" or not message["is_final"]:
        return None
    return message["channel"]["alternatives"][0]["transcript"] or None


TRANSCRIPTION = "conversation.item.input_audio_transcription"
NATIVE = LiveDialect(
    path="/ws/transcribe",
    sample_rate=16_000,
    frame=lambda pcm: pcm,
    is_interim=lambda message: bool(message.get("is_partial")),
    final_of=lambda message: message["text"] if message.get("is_final") else None,
    is_notice=lambda message: message.get("status") == "draining",
    code_of=lambda message: message["code"] if message.get("status") == "error" else None,
    refusal=("DRAINING", 1013),
)
OPENAI = LiveDialect(
    path="/v1/realtime?intent=transcription",
    sample_rate=24_000,
    frame=lambda pcm: json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm).decode()}),
    is_interim=lambda message: message["type"] == f"{TRANSCRIPTION}.delta",
    final_of=lambda message: message["transcript"] if message["type"] == f"{TRANSCRIPTION}.completed" else None,
    is_notice=lambda message: message["type"] == "steno.draining",
    code_of=lambda message: message["error"]["code"].upper() if message["type"] == "error" else None,
    refusal=("draining", 503),
)
DEEPGRAM = LiveDialect(
    path="/v1/listen?encoding=linear16&sample_rate=16000&interim_results=true",
    sample_rate=16_000,
    frame=lambda pcm: pcm,
    is_interim=lambda message: message["type"] == "Results" and not message["is_final"],
    final_of=deepgram_text,
    is_notice=lambda message: message["type"] == "Error" and message["variant"] == "draining",
    code_of=lambda message: message["variant"].upper() if message["type"] == "Error" else None,
    refusal=("SERVICE_UNAVAILABLE", 503),
)
DIALECTS = pytest.mark.parametrize("dialect", [NATIVE, OPENAI, DEEPGRAM], ids=["native", "openai", "deepgram"])


@pytest.fixture(scope="module")
def reference() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


class Conversation:
    """One connection; it keeps what it is told."""

    def __init__(self, socket: websockets.ClientConnection, dialect: LiveDialect) -> None:
        self.socket = socket
        self.messages: list[Message] = []
        self._dialect = dialect

    async def say(self, pcm: bytes, pace: float = 1.0) -> None:
        """`pace` times as fast as it is spoken."""
        try:
            for part in parts(pcm, round(CHUNK_S * self._dialect.sample_rate) * 2):
                await self.socket.send(self._dialect.frame(part))
                await asyncio.sleep(CHUNK_S / pace)
        except websockets.ConnectionClosed:
            return

    async def until(self, condition: Callable[[Message], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.messages.append(json.loads(await self.socket.recv()))
                if condition(self.messages[-1]):
                    return

    async def until_closed(self) -> None:
        try:
            await self.until(lambda message: False)
        except websockets.ConnectionClosed:
            return

    @property
    def finals(self) -> list[str]:
        return [text for text in map(self._dialect.final_of, self.messages) if text is not None]


def speech(fixtures: Path, dialect: LiveDialect) -> bytes:
    """A sentence and the silence after it, as the dialect's PCM16."""
    audio = np.concatenate([*decode(fixtures / "weather.flac", max_seconds=None), np.zeros(24_000, "f4")])
    return to_s16le(soxr.resample(audio, 16_000, dialect.sample_rate).astype("f4"))


def address(server: RunningServer, dialect: LiveDialect) -> str:
    return server.url.replace("http", "ws") + dialect.path


async def refused(server: RunningServer, dialect: LiveDialect) -> tuple[str, int | None]:
    """Connect in vain; see `LiveDialect.refusal`."""
    try:
        async with websockets.connect(address(server, dialect)) as socket:
            late = Conversation(socket, dialect)
            await late.until_closed()
            return late.messages[0]["code"], socket.close_code
    except websockets.InvalidStatus as error:
        body = json.loads(error.response.body or b"")
        return body.get("err_code") or body["error"]["code"], error.response.status_code


@pytest.mark.parametrize(
    ("dialect", "gateway"),
    [(NATIVE, "false"), (NATIVE, "true"), (OPENAI, "false"), (DEEPGRAM, "false")],
    ids=["native", "native-worker", "openai", "deepgram"],
)
@pytest.mark.slow
async def test_sigterm_finishes_what_is_being_said_and_closes_with_1012(
    reference: RunningServer, fixtures: Path, dialect: LiveDialect, gateway: str
) -> None:
    pcm = speech(fixtures, dialect)
    async with websockets.connect(address(reference, dialect), max_size=None) as socket:
        undisturbed = Conversation(socket, dialect)
        talking = asyncio.create_task(undisturbed.say(pcm, pace=8))
        await undisturbed.until(lambda message: dialect.final_of(message) is not None)
        await talking
    with RunningServer(ASR_BACKEND="scripted", GATEWAY_MODE=gateway) as server:
        async with websockets.connect(address(server, dialect), max_size=None) as socket:
            conversation = Conversation(socket, dialect)
            talking = asyncio.create_task(conversation.say(pcm))
            await conversation.until(dialect.is_interim)
            server.process.send_signal(signal.SIGTERM)
            await conversation.until(dialect.is_notice)
            assert conversation.finals == []
            await conversation.until_closed()
            await talking
        assert server.process.wait(STOP_S) == 0
    assert conversation.finals == undisturbed.finals
    assert dialect.code_of(conversation.messages[-1]) == "DRAINING"
    assert socket.close_code == 1012


@DIALECTS
@pytest.mark.slow
async def test_from_the_signal_on_the_server_is_not_ready_and_refuses_sessions_while_one_is_open(
    fixtures: Path, dialect: LiveDialect
) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        assert server.get("/ready").status_code == 200
        async with websockets.connect(address(server, dialect), max_size=None) as socket:
            conversation = Conversation(socket, dialect)
            talking = asyncio.create_task(conversation.say(speech(fixtures, dialect)))
            await conversation.until(dialect.is_interim)
            server.process.send_signal(signal.SIGTERM)
            await conversation.until(dialect.is_notice)
            ready, health = await asyncio.gather(
                asyncio.to_thread(server.get, "/ready"), asyncio.to_thread(server.get, "/health")
            )
            assert (ready.status_code, ready.json()) == (503, {"status": "draining"})
            assert (health.status_code, health.json()["status"]) == (200, "draining")
            assert await refused(server, dialect) == dialect.refusal
            assert conversation.finals == []
            await conversation.until_closed()
            await talking
        assert server.process.wait(STOP_S) == 0
    assert len(conversation.finals) == 1


@DIALECTS
async def test_a_session_in_which_nothing_is_being_said_ends_at_once(dialect: LiveDialect) -> None:
    with RunningServer(ASR_BACKEND="scripted") as server:
        async with websockets.connect(address(server, dialect), max_size=None) as socket:
            conversation = Conversation(socket, dialect)
            await conversation.say(bytes(round(0.5 * dialect.sample_rate) * 2))
            await asyncio.to_thread(until, lambda: server.health()["active_requests"] == 1)
            began = asyncio.get_running_loop().time()
            server.process.send_signal(signal.SIGTERM)
            await conversation.until_closed()
            assert asyncio.get_running_loop().time() - began < 10, "a third of DRAIN_TIMEOUT"
        assert server.process.wait(STOP_S) == 0
    assert dialect.code_of(conversation.messages[-1]) == "DRAINING"
    assert socket.close_code == 1012
