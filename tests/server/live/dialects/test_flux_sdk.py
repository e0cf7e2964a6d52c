"""Deepgram's own SDK speaks Flux (`listen.v2`), unmodified, with a running server."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from deepgram_clients import SdkConversation, client_of, saying
from running import EMBEDDED, TLS, RunningServer
from speech import word_error_rate
from talking import BYTES_PER_S, pcm_file

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of `websockets`: the SDK still tries its old names first
    from deepgram.listen.v2.client import V2SocketClient
    from deepgram.listen.v2.types import (
        ListenV2Configure,
        ListenV2ConfigureFailure,
        ListenV2ConfigureSuccess,
        ListenV2Connected,
        ListenV2TurnInfo,
        ListenV2Warning,
    )

RAW: dict[str, Any] = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": 16_000}


@pytest.fixture(scope="module")
def scripted() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="right") as server:
        yield server


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """Two sentences, each before 1.5 s of silence."""
    pause = bytes(3 * BYTES_PER_S // 2)
    return b"".join(pcm_file(fixtures / name) + pause for name in ("weather.flac", "letter.flac"))


class FluxConversation(SdkConversation):
    def __init__(self, server: RunningServer, send: Callable[[V2SocketClient], None], **options: Any) -> None:
        super().__init__(client_of(server).listen.v2.connect(**options), send)

    @property
    def turns(self) -> list[ListenV2TurnInfo]:
        return [message for message in self.messages if isinstance(message, ListenV2TurnInfo)]

    def of(self, event: str) -> list[ListenV2TurnInfo]:
        return [turn for turn in self.turns if turn.event == event]


def test_turns_start_grow_and_end(scripted: RunningServer, speech: bytes) -> None:
    conversation = FluxConversation(scripted, saying(speech, pace=4), **RAW, eot_timeout_ms=500)
    first, *_ = conversation.messages
    assert isinstance(first, ListenV2Connected)
    assert [message.sequence_id for message in conversation.messages] == list(range(len(conversation.messages)))
    assert {message.request_id for message in conversation.messages} == {first.request_id}
    starts, ends = conversation.of("StartOfTurn"), conversation.of("EndOfTurn")
    assert [turn.turn_index for turn in starts] == [turn.turn_index for turn in ends] == list(range(len(ends)))
    assert len(ends) >= 2
    assert conversation.of("Update")
    for start, end in zip(starts, ends, strict=True):
        assert end.transcript.startswith(start.transcript)
        assert [word.word for word in end.words] == end.transcript.split()
        assert end.audio_window_start == start.audio_window_start <= start.audio_window_end <= end.audio_window_end
        assert end.trigger in ("timeout", "model")
    assert conversation.close_code == 1000


def test_a_turn_can_be_ended_by_the_client(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V2SocketClient) -> None:
        connection.send_media(speech[: 2 * BYTES_PER_S])
        connection.send_force_end_turn()
        connection.send_force_end_turn()
        connection.send_close_stream()

    (end,) = FluxConversation(scripted, send, **RAW).of("EndOfTurn")
    assert (end.trigger, end.audio_window_end) == ("manual", 2.0)


def test_thresholds_and_key_terms_are_configured(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V2SocketClient) -> None:
        connection.send_configure(ListenV2Configure(keyterms=["new", "terms"], thresholds={"eot_timeout_ms": 700}))
        connection.send_configure({"type": "Configure", "thresholds": {"eot_threshold": 3}})
        saying(speech)(connection)

    conversation = FluxConversation(scripted, send, **RAW, keyterm=["old"], eot_threshold=0.8)
    _, success, failure = conversation.messages[:3]
    assert isinstance(success, ListenV2ConfigureSuccess)
    assert success.keyterms == ["new", "terms"]
    assert (success.thresholds.eot_threshold, success.thresholds.eot_timeout_ms) == (0.8, 700)
    assert isinstance(failure, ListenV2ConfigureFailure)
    assert "eot_threshold" in (failure.description or "")
    assert len(conversation.of("EndOfTurn")) >= 2


def test_a_message_that_is_none_is_a_warning_and_no_end(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V2SocketClient) -> None:
        connection._send({"type": "Dance"})
        saying(speech)(connection)

    conversation = FluxConversation(scripted, send, **RAW)
    warning = conversation.messages[1]
    assert isinstance(warning, ListenV2Warning)
    assert "Dance" in warning.description
    assert conversation.of("EndOfTurn")


@pytest.mark.parametrize(
    ("key", "options", "status"),
    [("wrong", RAW, 401), ("right", {**RAW, "eot_threshold": 5}, 400), ("right", {**RAW, "redact": "numbers"}, 400)],
)
def test_a_refusal_is_an_http_answer(scripted: RunningServer, key: str, options: dict[str, Any], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, client_of(scripted, key).listen.v2.connect(**options):
        pass
    assert refused.value.response.status_code == status


def test_plain_http_is_told_of_the_upgrade(scripted: RunningServer) -> None:
    answer = httpx.get(f"{scripted.url}/v2/listen", headers={"Authorization": "Token right"}, verify=TLS)
    assert (answer.status_code, answer.json()["err_code"]) == (426, "UPGRADE_REQUIRED")


@pytest.mark.slow
def test_speech_is_recognised(fixtures: Path) -> None:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        audio = pcm_file(fixtures / "weather.flac") + bytes(BYTES_PER_S)
        conversation = FluxConversation(server, saying(audio, pace=1), **RAW)
    assert word_error_rate("weather.flac", " ".join(end.transcript for end in conversation.of("EndOfTurn"))) <= 0.45
