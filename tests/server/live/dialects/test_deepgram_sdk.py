"""Deepgram's own SDK, unmodified, against a running server; and a browser's way in, with plain `websockets`."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from deepgram_clients import SdkConversation, client_of, say, saying
from running import EMBEDDED, RunningServer
from speech import word_error_rate
from steno.audio.decode import decode
from steno.audio.pcm import decode_pcm, to_s16le

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of `websockets`: the SDK still tries its old names first
    from deepgram import AsyncDeepgramClient
    from deepgram.core.api_error import ApiError
    from deepgram.core.events import EventType
    from deepgram.listen.v1.client import V1SocketClient
    from deepgram.listen.v1.types import (
        ListenV1Configure,
        ListenV1ConfigureFailure,
        ListenV1ConfigureSuccess,
        ListenV1Error,
        ListenV1Metadata,
        ListenV1Results,
        ListenV1SpeechStarted,
        ListenV1UtteranceEnd,
    )

SAMPLE_RATE = 16_000
BYTES_PER_S = 2 * SAMPLE_RATE
RAW: dict[str, Any] = {"model": "nova-3-general", "encoding": "linear16", "sample_rate": SAMPLE_RATE}


@pytest.fixture(scope="module")
def embedded() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        yield server


@pytest.fixture(scope="module")
def scripted() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted", API_KEYS="right") as server:
        yield server


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """Two sentences, each before 1.5 s of silence."""
    pause = bytes(3 * BYTES_PER_S // 2)
    return b"".join(to_s16le(audio_of(fixtures / name)) + pause for name in ("weather.flac", "letter.flac"))


def audio_of(file: Path) -> NDArray[np.float32]:
    return np.concatenate(list(decode(file, max_seconds=None)))


class Conversation(SdkConversation):
    def __init__(self, server: RunningServer, send: Callable[[V1SocketClient], None], **options: Any) -> None:
        super().__init__(client_of(server).listen.v1.connect(**options), send)

    @property
    def results(self) -> list[ListenV1Results]:
        return [message for message in self.messages if isinstance(message, ListenV1Results)]

    @property
    def finals(self) -> list[ListenV1Results]:
        return [result for result in self.results if result.is_final]

    @property
    def spoken(self) -> list[ListenV1Results]:
        return [result for result in self.finals if text_of(result)]

    @property
    def text(self) -> str:
        return " ".join(map(text_of, self.spoken))


def text_of(result: ListenV1Results) -> str:
    return result.channel.alternatives[0].transcript


@pytest.mark.slow
def test_what_is_said_comes_as_interim_results_and_then_as_final_ones_with_words(
    embedded: RunningServer, fixtures: Path
) -> None:
    audio = to_s16le(audio_of(fixtures / "weather.flac"))
    conversation = Conversation(embedded, saying(audio, pace=1), **RAW, language="en-US", interim_results=True)
    assert word_error_rate("weather.flac", conversation.text) <= 0.45
    interim = [result for result in conversation.results if not result.is_final]
    assert len(interim) >= 3
    for result in conversation.results:
        (alternative,) = result.channel.alternatives
        assert 0 <= alternative.confidence <= 1
        assert " ".join(word.punctuated_word or "" for word in alternative.words) == alternative.transcript
        times = [time for word in alternative.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(result.start <= time <= result.start + result.duration + 0.0001 for time in times)


def test_a_final_has_the_segments_words_and_their_times(scripted: RunningServer, speech: bytes) -> None:
    conversation = Conversation(scripted, saying(speech), **RAW)
    assert len(conversation.spoken) >= 2
    for result in conversation.spoken:
        count = int(result.duration / 0.5)
        (alternative,) = result.channel.alternatives
        assert alternative.transcript == " ".join(f"w{n}" for n in range(count))
        assert alternative.confidence == 1.0
        starts = [round(result.start + n / 2, 4) for n in range(count)]
        assert [(word.word, word.start, word.end) for word in alternative.words] == [
            (f"w{n}", start, round(start + 0.5, 4)) for n, start in enumerate(starts)
        ]
        assert result.metadata.model_info.name == "scripted"


def test_final_ranges_tile_the_audio(scripted: RunningServer, speech: bytes) -> None:
    conversation = Conversation(scripted, saying(speech), **RAW, interim_results=True)
    finals = conversation.finals
    assert finals[0].start == 0
    for before, after in pairwise(finals):
        assert round(before.start + before.duration, 4) == after.start
    assert round(finals[-1].start + finals[-1].duration, 4) == round(len(speech) / BYTES_PER_S, 4)


def test_speech_final_marks_the_endpoint(scripted: RunningServer, fixtures: Path, speech: bytes) -> None:
    without_end = speech + to_s16le(audio_of(fixtures / "letter.flac"))[:BYTES_PER_S]
    conversation = Conversation(scripted, saying(without_end), **RAW)
    *ended, last = conversation.spoken
    assert len(ended) >= 2
    assert all(result.speech_final for result in ended)
    assert not last.speech_final
    assert not any(result.speech_final for result in conversation.finals if not text_of(result))


def test_without_endpointing_only_the_client_ends_a_segment(scripted: RunningServer, speech: bytes) -> None:
    conversation = Conversation(scripted, saying(speech), **RAW, endpointing=False)
    assert len(conversation.spoken) == 1
    assert not any(result.speech_final for result in conversation.finals)


def test_finalize_is_answered_once_in_speech_and_in_silence(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V1SocketClient) -> None:
        say(connection, speech[: 2 * BYTES_PER_S])
        connection.send_finalize()
        connection.send_finalize()
        connection.send_close_stream()

    finals = Conversation(scripted, send, **RAW).finals
    finalized = [result for result in finals if result.from_finalize]
    assert [bool(text_of(result)) for result in finalized] == [True, False]
    assert [round(result.start + result.duration, 4) for result in finalized] == [2.0, 2.0]
    assert finalized[1].duration == 0
    assert finals[-1] is finalized[-1]


def test_close_stream_is_answered_with_metadata_and_a_normal_close(scripted: RunningServer, speech: bytes) -> None:
    conversation = Conversation(scripted, saying(speech), **RAW)
    last = conversation.messages[-1]
    assert isinstance(last, ListenV1Metadata)
    assert last.sha256 == hashlib.sha256(speech).hexdigest()
    assert last.duration == round(len(speech) / BYTES_PER_S, 4)
    assert last.channels == 1
    assert last.request_id == conversation.finals[0].metadata.request_id
    assert conversation.close_code == 1000


def test_an_empty_frame_closes_too(scripted: RunningServer) -> None:
    conversation = Conversation(scripted, lambda connection: connection.send_media(b""), **RAW)
    assert [type(message) for message in conversation.messages] == [ListenV1Metadata]
    assert conversation.close_code == 1000


def test_speech_starts_and_utterances_end(scripted: RunningServer, speech: bytes) -> None:
    options = {**RAW, "interim_results": True, "vad_events": True, "utterance_end_ms": 1000, "endpointing": 300}
    conversation = Conversation(scripted, saying(speech, pace=6), **options)
    told = [message for message in conversation.messages if not isinstance(message, ListenV1Metadata)]
    started = [message for message in told if isinstance(message, ListenV1SpeechStarted)]
    ended = [message for message in told if isinstance(message, ListenV1UtteranceEnd)]
    spoken = conversation.spoken
    assert len(started) == len(spoken)
    for onset, result in zip(started, spoken, strict=True):
        assert onset.channel == [0, 1]
        assert result.start <= onset.timestamp <= result.start + 0.5
    assert len(ended) == 2
    for end in ended:
        before = [message for message in told[: told.index(end)] if message in spoken]
        assert end.channel == [0, 1]
        assert end.last_word_end == before[-1].channel.alternatives[0].words[-1].end


@pytest.mark.slow
def test_keep_alive_holds_a_quiet_connection_and_silence_closes_it(scripted: RunningServer) -> None:
    began = time.monotonic()
    kept: list[Conversation] = []

    def keep(connection: V1SocketClient) -> None:
        for _ in range(4):
            connection.send_keep_alive()
            time.sleep(3)
        connection.send_finalize()
        connection.send_close_stream()

    keeper = threading.Thread(target=lambda: kept.append(Conversation(scripted, keep, **RAW)))
    keeper.start()
    left = Conversation(scripted, lambda connection: None, **RAW)
    keeper.join()
    assert left.close_code == 1001
    assert 9.5 < left.ended_at - began < 30
    assert [(type(message), message.variant) for message in left.messages] == [(ListenV1Error, "session_ended")]
    assert kept[0].close_code == 1000
    assert kept[0].ended_at - began > 11.9
    assert [result.from_finalize for result in kept[0].finals] == [True]


def test_telephone_audio_is_heard(scripted: RunningServer, speech: bytes) -> None:
    audio = soxr.resample(decode_pcm(speech, "pcm_s16le"), SAMPLE_RATE, 8000)
    codes = decode_pcm(bytes(range(256)), "mulaw")
    order = np.argsort(codes, kind="stable")
    data = order[np.searchsorted(codes[order], audio).clip(0, 255)].astype(np.uint8).tobytes()
    conversation = Conversation(scripted, saying(data), model="nova-2", encoding="mulaw", sample_rate=8000)
    assert len(conversation.spoken) >= 2
    assert conversation.messages[-1].duration == pytest.approx(len(speech) / BYTES_PER_S, abs=0.01)


@pytest.mark.parametrize("options", [{"encoding": "ogg-opus"}, {"encoding": "opus", "sample_rate": 48000}, {}])
def test_opus_in_ogg_is_heard_whether_announced_or_not(
    scripted: RunningServer, fixtures: Path, options: dict[str, Any]
) -> None:
    file = fixtures / "address.opus"
    conversation = Conversation(scripted, saying(file.read_bytes()), model="nova-3", **options)
    assert len(conversation.spoken) >= 3
    assert conversation.messages[-1].duration == pytest.approx(len(audio_of(file)) / SAMPLE_RATE, abs=0.1)


def test_what_is_no_audio_is_an_error_and_no_end(scripted: RunningServer) -> None:
    conversation = Conversation(scripted, saying(b"this is no audio" * 100), model="nova-3")
    error, metadata = conversation.messages
    assert isinstance(error, ListenV1Error)
    assert error.variant == "not_audio"
    assert isinstance(metadata, ListenV1Metadata)


def test_a_message_that_is_none_is_an_error_and_no_end(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V1SocketClient) -> None:
        connection._send({"type": "Dance"})
        saying(speech)(connection)

    conversation = Conversation(scripted, send, **RAW)
    error = conversation.messages[0]
    assert isinstance(error, ListenV1Error)
    assert (error.variant, error.message) == ("SchemaError", '{"type": "Dance"}')
    assert len(conversation.spoken) >= 2


def test_key_terms_are_taken_and_replaced(scripted: RunningServer, speech: bytes) -> None:
    def send(connection: V1SocketClient) -> None:
        connection.send_configure(ListenV1Configure(keyterms=["new", "terms"]))
        connection.send_configure(ListenV1Configure(features={"numerals": True}))
        saying(speech)(connection)

    conversation = Conversation(scripted, send, **RAW, keyterm=["old", "older"])
    success, failure = conversation.messages[:2]
    assert isinstance(success, ListenV1ConfigureSuccess)
    assert success.keyterms == ["new", "terms"]
    assert isinstance(failure, ListenV1ConfigureFailure)
    assert "numerals" in failure.description
    assert len(conversation.spoken) >= 2


def test_key_terms_that_a_backend_cannot_use_are_ignored_by_name(embedded: RunningServer, speech: bytes) -> None:
    with client_of(embedded).listen.v1.connect(**RAW, keyterm="steno") as connection:
        assert connection._websocket.response.headers["x-steno-ignored"] == "keyterm"
        connection.send_close_stream()
        assert isinstance(list(connection)[-1], ListenV1Metadata)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({**RAW, "diarize_model": "v2"}, "diarize_model"),
        ({**RAW, "redact": ["pci", "ssn"]}, "redact"),
        ({"model": "nova-3", "encoding": "linear16"}, "sample_rate"),
        ({**RAW, "model": "nova-9"}, "nova-9"),
        ({**RAW, "language": "klingon"}, "klingon"),
        ({**RAW, "utterance_end_ms": 1000}, "interim_results"),
    ],
)
def test_an_option_that_is_not_to_be_had_is_a_bad_request_that_names_it(
    scripted: RunningServer, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidStatus) as caught, client_of(scripted).listen.v1.connect(**options):
        pass
    assert caught.value.response.status_code == 400
    body = json.loads(caught.value.response.body)
    assert set(body) == {"err_code", "err_msg", "request_id"}
    assert named in body["err_msg"]


def test_a_wrong_key_is_unauthorized(scripted: RunningServer) -> None:
    with pytest.raises(InvalidStatus) as caught, client_of(scripted, "wrong").listen.v1.connect(**RAW):
        pass
    assert caught.value.response.status_code == 401
    assert json.loads(caught.value.response.body)["err_code"] == "INVALID_AUTH"


async def test_the_asynchronous_client_listens_with_handlers(scripted: RunningServer, speech: bytes) -> None:
    messages: list[Any] = []
    client = client_of(scripted, kind=AsyncDeepgramClient)
    async with client.listen.v1.connect(**RAW) as connection:
        connection.on(EventType.MESSAGE, messages.append)
        connection.on(EventType.ERROR, messages.append)
        await connection.send_media(speech)
        await connection.send_close_stream()
        await connection.start_listening()
    assert {type(message) for message in messages} == {ListenV1Results, ListenV1Metadata}


@pytest.mark.parametrize(("key", "options", "status"), [("right", {"numerals": "true"}, 400), ("wrong", {}, 401)])
async def test_the_asynchronous_client_raises_its_own_error_when_refused(
    scripted: RunningServer, key: str, options: dict[str, str], status: int
) -> None:
    with pytest.raises(ApiError) as caught:
        async with client_of(scripted, key, AsyncDeepgramClient).listen.v1.connect(**RAW, **options):
            pass
    assert caught.value.status_code == status


@pytest.mark.parametrize("scheme", ["token", "bearer"])
async def test_a_browser_offers_its_key_among_the_subprotocols_and_it_is_not_echoed(
    scripted: RunningServer, scheme: str
) -> None:
    url = f"{scripted.url.replace('http', 'ws')}/v1/listen?encoding=linear16&sample_rate=16000"
    offered = [Subprotocol(scheme), Subprotocol("right")]
    async with connect(url, subprotocols=offered, origin=scripted.url) as socket:
        assert socket.subprotocol == scheme
        assert socket.response is not None
        assert socket.response.headers["sec-websocket-protocol"] == scheme
        await socket.send('{"type": "CloseStream"}')
        assert json.loads(await socket.recv())["type"] == "Metadata"
    with pytest.raises(InvalidStatus):
        await connect(url, subprotocols=[Subprotocol(scheme), Subprotocol("wrong")])


# --- headers that its SDKs read ---


async def test_a_refused_handshake_says_why_in_its_headers(scripted: RunningServer) -> None:
    url = scripted.url.replace("http", "ws") + "/v1/listen"
    for path, key, told in (("", "wrong", "API key"), ("?numerals=true", "right", "numerals")):
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url + path, additional_headers={"Authorization": f"Token {key}"}):
                pass
        headers = refused.value.response.headers
        body = json.loads(refused.value.response.body or b"")
        assert told in headers["dg-error"]
        assert headers["dg-error"] == body["err_msg"]
        assert headers["dg-request-id"] == body["request_id"]


async def test_an_accepted_handshake_has_the_id_that_its_results_have(scripted: RunningServer) -> None:
    url = scripted.url.replace("http", "ws") + "/v1/listen"
    async with connect(url, additional_headers={"Authorization": "Token right"}) as socket:
        assert socket.response is not None
        assert "dg-error" not in socket.response.headers
        await socket.send(json.dumps({"type": "CloseStream"}))
        metadata = [json.loads(message) async for message in socket][-1]
        assert metadata["request_id"] == socket.response.headers["dg-request-id"]
