"""Speakers in each live dialect: a real server, the real network, a woman and a man."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import openai
import pytest
import soxr
import websockets

from deepgram_clients import SdkConversation, client_of, saying
from recordings import conversation
from running import PATIENCE_S, RunningServer, until
from server.live.test_asyncapi import MESSAGES
from steno.audio.pcm import PcmDecoder, to_s16le
from steno.client import Client, Final, SpeakersChanged
from talking import BYTES_PER_S, Talk, said, talk

SEGMENT = "conversation.item.input_audio_transcription.segment"
COMPLETED = "conversation.item.input_audio_transcription.completed"
FRAME_BYTES = 1024
"""Of the VAD's frames, in 16 kHz PCM16."""
TURN_S = 2.0
"""Enough to know a new voice by."""
RAW = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16_000}


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted", SPEAKER_TIMEOUT="30") as server:
        yield server


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """A woman, a man, the woman again, each followed by a second of silence; PCM16."""
    silence = bytes(BYTES_PER_S // 2)
    return b"".join(
        conversation(fixtures, name, longest_s=TURN_S)[44:] + silence for name in ("weather", "meeting", "doctor")
    )


def runs(labels: list[Any]) -> list[Any]:
    return [label for label, _ in groupby(labels)]


async def test_native_finals_and_words_have_speakers(server: RunningServer, speech: bytes) -> None:
    told = await said(server, speech, diarize="true", words="true")
    assert told.messages[0]["diarize"] is True
    finals = [final for final in told.finals if final["text"]]
    assert [final["speaker"] for final in finals] == ["A", "B", "A"]
    assert runs([word["speaker"] for final in finals for word in final["words"]]) == ["A", "B", "A"]
    assert not any("speaker" in partial for partial in told.partials)


async def test_speakers_need_no_words_and_change_no_text(server: RunningServer, speech: bytes) -> None:
    told = await said(server, speech, diarize="true")
    plain = await said(server, speech)
    assert [final.get("speaker") for final in told.finals if final["text"]] == ["A", "B", "A"]
    assert [{**final, "speaker": 0} for final in told.finals] == [{**final, "speaker": 0} for final in plain.finals]
    assert not any("speaker" in final for final in plain.finals)


@pytest.fixture(scope="module")
def interjection(fixtures: Path) -> tuple[bytes, bytes]:
    """A woman and a word of a man, which is too short to know a new voice by; and more of him."""
    silence = bytes(BYTES_PER_S)
    woman, man = (conversation(fixtures, name, longest_s=TURN_S)[44:] for name in ("weather", "market"))
    return woman + silence + man[: round(0.8 * BYTES_PER_S)] + silence, man + silence


async def test_a_label_that_turns_out_to_be_another_is_told_apart_from_finals(
    server: RunningServer, interjection: tuple[bytes, bytes]
) -> None:
    async def conversation(**query: str) -> Talk:
        async with talk(server, diarize="true", **query) as session:
            await session.say(interjection[0])
            await session.next(is_final=True, segment_id=1)
            await session.say(interjection[1])
            await session.close()
        return session

    told = await conversation(speaker_updates="true")
    assert [final["speaker"] for final in told.finals if final["text"]] == ["A", "A", "B"]
    (update,) = [message for message in told.messages if message.get("status") == "speakers"]
    assert update == {"status": "speakers", "segments": [{"segment_id": 1, "speaker": "B"}]}
    assert told.messages.index(update) > told.messages.index(told.finals[-1])
    check = jsonschema.Draft202012Validator(MESSAGES["speakers"]["payload"])
    assert check.is_valid(update)
    plain = await conversation()
    assert plain.finals == told.finals
    assert not any(message.get("status") == "speakers" for message in plain.messages)


def test_the_client_gets_updates_that_it_asks_for(server: RunningServer, interjection: tuple[bytes, bytes]) -> None:
    goes_on = threading.Event()

    def audio() -> Iterator[bytes]:
        yield interjection[0]
        assert goes_on.wait(PATIENCE_S)
        yield interjection[1]

    events = []
    with Client(server.url) as client:
        for event in client.stream(audio(), diarize=True, speaker_updates=True):
            events.append(event)
            if isinstance(event, Final) and event.segment_id == 1:
                goes_on.set()
    finals = [event for event in events if isinstance(event, Final) and event.text]
    assert [final.speaker for final in finals] == ["A", "A", "B"]
    assert [event.speakers for event in events if isinstance(event, SpeakersChanged)] == [{finals[1].segment_id: "B"}]


async def test_at_most_so_many_speakers_are_told_apart(server: RunningServer, speech: bytes) -> None:
    told = await said(server, speech, diarize="true", max_speakers=1)
    assert [final["speaker"] for final in told.finals if final["text"]] == ["A", "A", "A"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"max_speakers": "2"}, "max_speakers"),
        ({"num_speakers": "2", "diarize": "false"}, "num_speakers"),
        ({"speaker_updates": "true"}, "speaker_updates"),
        ({"diarize": "true", "num_speakers": "21"}, "num_speakers"),
        ({"diarize": "true", "num_speakers": "2", "max_speakers": "3"}, "max_speakers"),
        ({"diarize": "perhaps"}, "diarize"),
        ({"diarize": "true", "min_speakers": "2"}, "min_speakers"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(server: RunningServer, query: dict[str, str], named: str) -> None:
    async with talk(server, **query) as refused:
        (error,) = refused.messages
    assert (error["code"], error["param"]) == ("INVALID_CONFIG", named)


async def test_speakers_are_fixed_once_a_session_is_open(server: RunningServer) -> None:
    async with talk(server) as session:
        await session.send({"action": "config", "diarize": True})
        assert (await session.next(status="error"))["param"] == "diarize"


def test_deepgrams_words_have_numbers(server: RunningServer, speech: bytes) -> None:
    for asked in ({"diarize": True}, {"diarize_model": "latest"}):
        with_sdk = SdkConversation(client_of(server).listen.v1.connect(**RAW, **asked), saying(speech))
        finals = [message for message in with_sdk.messages if message.type == "Results" and message.is_final]
        words = [word for final in finals for word in final.channel.alternatives[0].words]
        assert runs([word.speaker for word in words]) == [0, 1, 0]


@pytest.mark.parametrize(
    ("path", "named"), [("/v1/listen?diarize_model=v2", "diarize_model"), ("/v2/listen?diarize=true", "diarize")]
)
async def test_what_deepgram_has_not_is_refused_by_name(server: RunningServer, path: str, named: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(server.url.replace("http", "ws") + path):
            pass
    assert refused.value.response.status_code == 400
    assert named in refused.value.response.headers["dg-error"]


async def test_openais_diarizing_model_tells_segments(server: RunningServer, speech: bytes) -> None:
    audio = to_s16le(soxr.resample(PcmDecoder("pcm_s16le").feed(speech), 16_000, 24_000))
    client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="-")
    events: list[Any] = []
    async with asyncio.timeout(60), client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        transcription = {"model": "gpt-4o-transcribe-diarize"}
        session: Any = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        await connection.session.update(session=session)
        for start in range(0, len(audio), 48_000):
            part = base64.b64encode(audio[start : start + 48_000]).decode()
            await connection.input_audio_buffer.append(audio=part)
        async for event in connection:
            events.append(event)
            if sum(each.type == COMPLETED for each in events) == 3:
                break
    told = [event for event in events if event.type in (SEGMENT, COMPLETED)]
    assert [event.type for event in told] == [SEGMENT, COMPLETED] * 3
    segments = told[::2]
    assert [segment.speaker for segment in segments] == ["A", "B", "A"]
    assert [segment.text for segment in segments] == [completed.transcript for completed in told[1::2]]
    assert [segment.item_id for segment in segments] == [completed.item_id for completed in told[1::2]]
    assert all(before.end <= after.start for before, after in pairwise(segments))


async def test_openais_manual_commits_of_a_second_have_speakers(server: RunningServer, fixtures: Path) -> None:
    """Two voices take turns without a pause; each turn is 1.024 s, which is a whole number of frames."""
    voices = [voiced(conversation(fixtures, *names)[44:]) for names in (("weather", "doctor"), ("market", "meeting"))]
    size = 32 * FRAME_BYTES
    turns = [voice[at : at + size] for at in range(0, 7 * size, size) for voice in voices]
    client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="-")
    told: list[str] = []
    async with asyncio.timeout(60), client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        format_ = {"type": "audio/pcm", "rate": 24_000}
        audio = {"format": format_, "transcription": {"model": "gpt-4o-transcribe-diarize"}, "turn_detection": None}
        session: Any = {"type": "transcription", "audio": {"input": audio}}
        await connection.session.update(session=session)
        for turn in turns:
            samples = soxr.resample(PcmDecoder("pcm_s16le").feed(turn), 16_000, 24_000)
            await connection.input_audio_buffer.append(audio=base64.b64encode(to_s16le(samples)).decode())
            await connection.input_audio_buffer.commit()
        completed = 0
        async for event in connection:
            if event.type == SEGMENT:
                told.append(event.speaker)
            completed += event.type == COMPLETED
            if completed == len(turns):
                break
    assert len(told) == len(turns)
    assert "unknown" not in told
    assert told[4:] == ["A", "B"] * 5


def voiced(pcm: bytes) -> bytes:
    """A recording without its pauses."""
    frames = np.frombuffer(pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES], "<i2").reshape(-1, FRAME_BYTES // 2)
    return frames[np.abs(frames).max(axis=1) > 600].tobytes()


def test_the_client_has_speakers(server: RunningServer, speech: bytes) -> None:
    with Client(server.url) as client:
        events = list(client.stream([speech], diarize=True, words=True, max_speakers=2, speaker_updates=True))
    finals = [event for event in events if isinstance(event, Final) and event.text]
    assert [final.speaker for final in finals] == ["A", "B", "A"]
    assert runs([word.speaker for final in finals for word in final.words]) == ["A", "B", "A"]
    assert not any(isinstance(event, SpeakersChanged) for event in events)


async def test_a_client_that_vanishes_takes_its_voices_with_it(server: RunningServer, speech: bytes) -> None:
    async with talk(server, diarize="true") as gone:
        await gone.say(speech)
        gone.socket.transport.abort()
    until(lambda: 'steno_live_sessions{dialect="native"} 0.0' in server.get("/metrics").text)
    began = time.monotonic()
    told = await said(server, speech, diarize="true")
    assert [final["speaker"] for final in told.finals if final["text"]] == ["A", "B", "A"]
    assert time.monotonic() - began < 30


def test_finals_are_counted_by_what_came_of_their_speakers(server: RunningServer) -> None:
    assert 'steno_speaker_label_seconds_count{outcome="labelled"}' in server.get("/metrics").text
