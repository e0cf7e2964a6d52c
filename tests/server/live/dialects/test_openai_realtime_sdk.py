"""`/v1/realtime` as OpenAI's own SDK sees it, unmodified, against a running server."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soxr
import websockets
from numpy.typing import NDArray
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeTranscriptionSessionCreateRequest
from openai.types.realtime.realtime_audio_formats import AudioPCM, AudioPCMU
from openai.types.realtime.realtime_transcription_session_audio_input_turn_detection import SemanticVad, ServerVad

from audio.encode import Kind, encode
from running import EMBEDDED, RunningServer
from speech import word_error_rate
from steno.audio.decode import decode
from steno.audio.pcm import to_s16le
from talking import parts

PATIENCE_S = 60.0
SAMPLE_RATE = 16_000
BYTES_PER_S = 48_000
"""Of 24 kHz PCM16."""
MULAW = Kind("mulaw", "pcm_mulaw", "s16")
TRANSCRIPTION = "conversation.item.input_audio_transcription"
Audio = NDArray[np.float32]


@pytest.fixture(scope="module")
def embedded() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED, API_KEYS="right") as server:
        yield server


@pytest.fixture(scope="module")
def scripted() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture(scope="module")
def weather(fixtures: Path) -> Audio:
    return np.concatenate(list(decode(fixtures / "weather.flac", max_seconds=None)))


@pytest.fixture(scope="module")
def letter(fixtures: Path) -> Audio:
    return np.concatenate(list(decode(fixtures / "letter.flac", max_seconds=None)))


PAUSE: Audio = np.zeros(SAMPLE_RATE, np.float32)


def pcm(*pieces: Audio) -> bytes:
    """As the SDK's users send it: PCM16 at 24 kHz."""
    return to_s16le(soxr.resample(np.concatenate(pieces), SAMPLE_RATE, 24_000))


class Listener:
    """The SDK's connection, and all events that it has yielded."""

    def __init__(self, connection: AsyncRealtimeConnection) -> None:
        self.connection = connection
        self.events: list[Any] = []

    async def until(self, type: str, count: int = 1) -> Any:
        """The event that is the `count`-th of its type from here on."""
        async with asyncio.timeout(PATIENCE_S):
            async for event in self.connection:
                self.events.append(event)
                assert event.event_id
                if event.type == type:
                    count -= 1
                    if not count:
                        return event
        raise AssertionError(f"the connection was closed before {type}")

    async def say(self, data: bytes, *, size: int = 4800) -> None:
        for part in parts(data, size):
            await self.connection.input_audio_buffer.append(audio=base64.b64encode(part).decode())

    async def update(self, **heard: Any) -> Any:
        await self.connection.session.update(session={"type": "transcription", "audio": {"input": heard}})  # type: ignore[typeddict-item]
        return await self.until("session.updated")

    def of(self, type: str) -> list[Any]:
        return [event for event in self.events if event.type == type]

    def told(self, item_id: str) -> str:
        return "".join(event.delta for event in self.of(f"{TRANSCRIPTION}.delta") if event.item_id == item_id)


@asynccontextmanager
async def listening(
    server: RunningServer, key: str = "right", *, intent: str | None = "transcription", **options: Any
) -> AsyncIterator[Listener]:
    query = {} if intent is None else {"intent": intent}
    async with (
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=key) as client,
        client.realtime.connect(extra_query=query, max_retries=0, **options) as connection,
    ):
        listener = Listener(connection)
        await listener.until("session.created")
        yield listener


@pytest.mark.parametrize("intent", [None, "transcription"])
@pytest.mark.parametrize("model", [None, "gpt-4o-transcribe", "gpt-realtime"])
async def test_a_session_is_of_the_right_class_whatever_the_address_names(
    scripted: RunningServer, intent: str | None, model: str | None
) -> None:
    async with listening(scripted, intent=intent, **({"model": model} if model else {})) as client:
        session = client.events[0].session
    assert isinstance(session, RealtimeTranscriptionSessionCreateRequest)
    assert session.audio is not None
    assert session.audio.input is not None
    assert session.audio.input.format == AudioPCM(type="audio/pcm", rate=24_000)
    assert isinstance(session.audio.input.turn_detection, ServerVad)


async def test_an_utterance_is_announced_told_as_it_is_spoken_and_completed(
    embedded: RunningServer, weather: Audio
) -> None:
    async with listening(embedded) as client:
        await client.say(pcm(weather, PAUSE))
        completed = await client.until(f"{TRANSCRIPTION}.completed")
        done = await client.until("conversation.item.done")
    assert word_error_rate("weather.flac", completed.transcript) <= 0.45
    assert completed.transcript == client.told(completed.item_id)
    assert completed.content_index == 0
    assert completed.usage.type == "duration"
    assert 3 < completed.usage.seconds < 6
    assert completed.logprobs is None
    types = [event.type for event in client.events if event.type != f"{TRANSCRIPTION}.delta"]
    assert types == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        f"{TRANSCRIPTION}.completed",
        "conversation.item.done",
    ]
    (started,), (stopped,) = (client.of(f"input_audio_buffer.speech_{what}") for what in ("started", "stopped"))
    assert 0 <= started.audio_start_ms < 1000
    assert 4000 < stopped.audio_end_ms < 5500
    assert completed.usage.seconds == pytest.approx((stopped.audio_end_ms - started.audio_start_ms) / 1000, abs=0.002)
    (added,) = client.of("conversation.item.added")
    assert (added.item.id, added.item.role, added.item.content[0].transcript) == (completed.item_id, "user", None)
    assert done.item.content[0].transcript == completed.transcript


async def test_text_comes_while_it_is_spoken(scripted: RunningServer, weather: Audio) -> None:
    async with listening(scripted) as client:
        await client.say(pcm(weather))
        await client.until(f"{TRANSCRIPTION}.delta")
        assert not client.of("input_audio_buffer.committed")
        await client.say(pcm(PAUSE))
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    deltas = client.of(f"{TRANSCRIPTION}.delta")
    assert len(deltas) >= 2
    words = round(completed.usage.seconds / 0.5 - 0.5)
    assert completed.transcript == "".join(event.delta for event in deltas) == " ".join(f"w{n}" for n in range(words))


async def test_two_utterances_are_two_items_in_order(embedded: RunningServer, weather: Audio, letter: Audio) -> None:
    async with listening(embedded) as client:
        await client.say(pcm(weather, PAUSE, letter, PAUSE))
        await client.until(f"{TRANSCRIPTION}.completed", 2)
    first, second = client.of("input_audio_buffer.committed")
    assert (first.previous_item_id, second.previous_item_id) == (None, first.item_id)
    completed = client.of(f"{TRANSCRIPTION}.completed")
    assert [event.item_id for event in completed] == [first.item_id, second.item_id]
    for event, name in zip(completed, ("weather.flac", "letter.flac"), strict=True):
        assert event.transcript == client.told(event.item_id)
        assert word_error_rate(name, event.transcript) <= 0.45
    order = [event.item_id for event in client.of(f"{TRANSCRIPTION}.delta")]
    assert order == sorted(order, key=[first.item_id, second.item_id].index)


async def test_by_hand_each_commit_is_answered_once_and_nothing_is_told_before(
    scripted: RunningServer, weather: Audio, letter: Audio
) -> None:
    async with listening(scripted) as client:
        updated = await client.update(turn_detection=None)
        assert updated.session.audio.input.turn_detection is None
        for piece in (weather, PAUSE, letter):
            await client.say(pcm(piece))
            await client.connection.input_audio_buffer.commit()
        await client.until("conversation.item.done", 3)
    types = [event.type for event in client.events if not event.type.startswith("session.")]
    assert types[:2] == ["input_audio_buffer.committed", "conversation.item.added"]
    assert not any(type.startswith("input_audio_buffer.speech") for type in types)
    committed = [event.item_id for event in client.of("input_audio_buffer.committed")]
    completed = client.of(f"{TRANSCRIPTION}.completed")
    assert [event.item_id for event in completed] == committed
    assert len(set(committed)) == 3
    assert [event.transcript for event in completed] == [client.told(item_id) for item_id in committed]
    assert [bool(event.transcript) for event in completed] == [True, False, True]
    assert [event.usage.seconds for event in completed] == [
        pytest.approx(len(piece) / SAMPLE_RATE, abs=0.002) for piece in (weather, PAUSE, letter)
    ]


async def test_a_commit_that_is_too_small_is_an_error_and_the_session_goes_on(
    scripted: RunningServer, weather: Audio
) -> None:
    async with listening(scripted) as client:
        await client.update(turn_detection=None)
        await client.say(bytes(BYTES_PER_S // 20))
        await client.connection.input_audio_buffer.commit(event_id="mine")
        error = (await client.until("error")).error
        assert (error.type, error.code) == ("invalid_request_error", "input_audio_buffer_commit_empty")
        assert (error.event_id, "only has 50.00ms of audio" in error.message) == ("mine", True)
        await client.say(pcm(weather))
        await client.connection.input_audio_buffer.commit()
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert completed.transcript.startswith("w0 w1 w2")


async def test_a_clear_discards_what_was_not_committed(scripted: RunningServer, weather: Audio) -> None:
    async with listening(scripted) as client:
        await client.update(turn_detection=None)
        await client.say(pcm(weather))
        await client.connection.input_audio_buffer.clear()
        await client.until("input_audio_buffer.cleared")
        await client.say(pcm(PAUSE))
        await client.connection.input_audio_buffer.commit()
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert completed.transcript == ""


@pytest.mark.parametrize(
    ("event", "code"),
    [
        ({"type": "input_audio_buffer.eat"}, "unknown_event"),
        ({"type": "response.create"}, "unsupported"),
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_value"),
        ({"type": "session.update", "session": {"type": "realtime"}}, "invalid_value"),
    ],
)
async def test_an_event_that_is_wrong_is_an_error_and_the_session_goes_on(
    scripted: RunningServer, event: dict[str, Any], code: str
) -> None:
    async with listening(scripted) as client:
        await client.connection.send({**event, "event_id": "mine"})  # type: ignore[arg-type,misc]
        error = (await client.until("error")).error
        assert (error.type, error.code, error.event_id) == ("invalid_request_error", code, "mine")
        await client.update()


async def test_an_update_comes_back_as_the_class_that_it_is(scripted: RunningServer) -> None:
    async with listening(scripted) as client:
        updated = await client.update(
            format={"type": "audio/pcm", "rate": 16_000},
            noise_reduction={"type": "near_field"},
            transcription={"model": "whisper-1", "language": "en", "prompt": "a hint"},
            turn_detection={"type": "semantic_vad", "eagerness": "low"},
        )
    session = updated.session
    assert isinstance(session, RealtimeTranscriptionSessionCreateRequest)
    assert session.audio is not None
    heard = session.audio.input
    assert heard is not None
    assert heard.format == AudioPCM(type="audio/pcm")
    assert heard.turn_detection == SemanticVad(type="semantic_vad", eagerness="low")
    assert heard.noise_reduction is not None
    assert heard.noise_reduction.type == "near_field"
    assert heard.transcription is not None
    assert (heard.transcription.model, heard.transcription.language) == ("whisper-1", "en")
    assert heard.transcription.prompt == "a hint"


async def test_mu_law_is_understood(embedded: RunningServer, weather: Audio) -> None:
    narrow = soxr.resample(np.concatenate([weather, PAUSE]), SAMPLE_RATE, 8_000)
    async with listening(embedded) as client:
        updated = await client.update(format={"type": "audio/pcmu"})
        assert updated.session.audio.input.format == AudioPCMU(type="audio/pcmu")
        await client.say(encode(narrow, 8_000, MULAW), size=800)
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert word_error_rate("weather.flac", completed.transcript) <= 0.6


async def test_log_probabilities_come_if_they_are_wanted(embedded: RunningServer, letter: Audio) -> None:
    async with listening(embedded) as client:
        include = ["item.input_audio_transcription.logprobs"]
        await client.connection.session.update(session={"type": "transcription", "include": include})  # type: ignore[typeddict-item]
        await client.say(pcm(letter, PAUSE))
        completed = await client.until(f"{TRANSCRIPTION}.completed")
    assert " ".join(entry.token for entry in completed.logprobs) == completed.transcript
    assert all(entry.logprob <= 0 for entry in completed.logprobs)


async def test_the_beta_is_spoken_to_those_who_ask_for_it(scripted: RunningServer, weather: Audio) -> None:
    async with openai.AsyncOpenAI(base_url=f"{scripted.url}/v1", api_key="k") as client:
        connecting = client.realtime.connect(
            extra_query={"intent": "transcription"}, extra_headers={"OpenAI-Beta": "realtime=v1"}, max_retries=0
        )
        async with connecting as connection:
            listener = Listener(connection)
            await listener.until("transcription_session.created")
            session = {"input_audio_format": "pcm16", "turn_detection": {"type": "server_vad"}}
            await connection.send({"type": "transcription_session.update", "session": session})  # type: ignore[arg-type,misc]
            await listener.until("transcription_session.updated")
            await listener.say(pcm(weather, PAUSE))
            completed = await listener.until(f"{TRANSCRIPTION}.completed")
    assert completed.transcript == listener.told(completed.item_id) != ""
    (created,) = listener.of("conversation.item.created")
    assert created.item.id == completed.item_id


async def test_a_wrong_key_is_refused_with_a_message(embedded: RunningServer) -> None:
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with listening(embedded, "wrong"):
            pass
    assert caught.value.response.status_code == 401
    error = json.loads(caught.value.response.body or b"")["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert error["message"] == "the API key is invalid"


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [({"intent": "conversation"}, 400, "intent"), ({"model": "gpt-9"}, 404, "model")],
)
async def test_what_is_not_to_be_had_is_refused_by_name(
    scripted: RunningServer, query: dict[str, str], status: int, param: str
) -> None:
    async with openai.AsyncOpenAI(base_url=f"{scripted.url}/v1", api_key="k") as client:
        with pytest.raises(websockets.InvalidStatus) as caught:
            async with client.realtime.connect(extra_query=query, max_retries=0):
                pass
    assert caught.value.response.status_code == status
    assert json.loads(caught.value.response.body or b"")["error"]["param"] == param


async def test_a_browser_brings_its_key_as_a_subprotocol_and_never_gets_it_back(embedded: RunningServer) -> None:
    url = f"{embedded.url.replace('http', 'ws')}/v1/realtime?intent=transcription"
    offered = [websockets.Subprotocol(name) for name in ("realtime", "openai-insecure-api-key.right")]
    async with websockets.connect(url, subprotocols=offered, origin=websockets.Origin("https://a.example")) as socket:
        assert socket.subprotocol == "realtime"
        assert socket.response is not None
        assert socket.response.headers.get_all("Sec-WebSocket-Protocol") == ["realtime"]
        assert json.loads(await socket.recv())["type"] == "session.created"
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(url, subprotocols=offered[:1]):
            pass


async def test_an_update_before_the_greeting_is_taken(scripted: RunningServer) -> None:
    """LiveKit's client does not wait for it."""
    url = f"{scripted.url.replace('http', 'ws')}/v1/realtime?intent=transcription"
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "session.update", "session": {"type": "transcription"}}))
        types = [json.loads(await socket.recv())["type"] for _ in range(2)]
    assert types == ["session.created", "session.updated"]


@pytest.mark.parametrize("padding_ms", [0, 600, 5000])
async def test_any_prefix_padding_that_is_taken_does_no_harm(scripted: RunningServer, padding_ms: int) -> None:
    detection = {"type": "server_vad", "prefix_padding_ms": padding_ms}
    update = {
        "type": "session.update",
        "session": {"type": "transcription", "audio": {"input": {"turn_detection": detection}}},
    }
    async with websockets.connect(f"{scripted.url.replace('http', 'ws')}/v1/realtime") as socket:
        await socket.recv()
        await socket.send(json.dumps(update))
        assert json.loads(await socket.recv())["type"] == "session.updated"
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 4000}))
        await socket.send("[]")
        assert json.loads(await socket.recv())["error"]["code"] == "invalid_json"


async def test_frames_that_are_no_events_are_errors_and_the_session_goes_on(scripted: RunningServer) -> None:
    url = f"{scripted.url.replace('http', 'ws')}/v1/realtime"
    async with websockets.connect(url) as socket:
        await socket.recv()
        for frame in (b"\x00\x01", "hello", "[]", "[" * 100_000):
            await socket.send(frame)
            assert json.loads(await socket.recv())["error"]["code"] == "invalid_json"
        await socket.send('{"type": "\\ud800"}')
        assert json.loads(await socket.recv())["error"]["code"] == "unknown_event"
