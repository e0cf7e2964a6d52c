"""`/ws/transcribe` as a client sees it: a real server, the plain `websockets` package."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import srt
import webvtt

from audio.encode import OPUS, WEBM, encode
from llm_server import Answer, LlmServer
from running import EMBEDDED, RunningServer
from speech import word_error_rate
from steno.audio.decode import decode
from steno.audio.pcm import PcmDecoder
from talking import BYTES_PER_S, pcm_file, pcm_of, said, talk

SAMPLE_RATE = 16_000


@pytest.fixture(scope="module")
def embedded() -> Iterator[RunningServer]:
    with RunningServer(ASR_BACKEND=EMBEDDED) as server:
        yield server


@pytest.fixture(scope="module")
def scripted() -> Iterator[RunningServer]:
    """Hears a word each half second of speech: `w0 w1 w2 …`."""
    with RunningServer(ASR_BACKEND="scripted") as server:
        yield server


@pytest.fixture(scope="module")
def speech(fixtures: Path) -> bytes:
    """Two sentences with a pause between them."""
    pause = bytes(BYTES_PER_S)
    return pause.join([pcm_file(fixtures / "weather.flac"), pcm_file(fixtures / "letter.flac")]) + pause


async def test_what_is_said_comes_as_partials_and_then_as_finals(embedded: RunningServer, fixtures: Path) -> None:
    pcm = pcm_file(fixtures / "weather.flac")
    async with talk(embedded) as conversation:
        (greeting,) = conversation.messages
        assert {
            "status": "connected",
            "sample_rate": 16000,
            "format": "pcm_s16le",
            "buffer_size": 15360,
            "window_max_s": 30.0,
            "use_server_vad": True,
        }.items() <= greeting.items()
        await conversation.say(pcm, pace=1)  # faster, a busy machine would leave partials out
        await conversation.close()
    assert word_error_rate("weather.flac", conversation.text) <= 0.45
    assert conversation.messages[-1] == {"status": "closed", "audio_s": round(len(pcm) / BYTES_PER_S, 3)}
    assert conversation.socket.close_code == 1000
    assert len(conversation.partials) >= 3


async def test_stable_text_is_never_revised_and_every_final_begins_with_it(
    embedded: RunningServer, fixtures: Path
) -> None:
    async with talk(embedded) as conversation:
        await conversation.say(pcm_file(fixtures / "market.flac"), pace=4)
        await conversation.close()
    stable: dict[int, str] = {}
    for message in conversation.messages:
        if message.get("is_partial"):
            assert message["stable"].startswith(stable.get(message["segment_id"], ""))
            assert message["stable"] + message["draft"] == message["text"]
            stable[message["segment_id"]] = message["stable"]
        elif message.get("is_final"):
            assert message["text"].startswith(stable.get(message["segment_id"], ""))


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), 333, 32_001, 10_000_000])
async def test_the_size_of_frames_makes_no_difference_to_finals(
    scripted: RunningServer, speech: bytes, size: int
) -> None:
    speech = speech[: 3 * BYTES_PER_S] if size == 1 else speech
    usual = await said(scripted, speech)
    other = await said(scripted, speech, size=size)
    assert usual.finals
    assert [_plain(final) for final in other.finals] == [_plain(final) for final in usual.finals]


async def test_finals_are_in_order_and_do_not_overlap(scripted: RunningServer, speech: bytes) -> None:
    conversation = await said(scripted, speech)
    assert len(conversation.finals) >= 2
    for before, after in pairwise(conversation.finals):
        assert before["end_s"] <= after["start_s"]
        assert before["segment_id"] < after["segment_id"]


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [("pcm_s16le", 8000), ("pcm_s16le", 44100), ("pcm_f32le", 48000), ("mulaw", 8000), ("alaw", 8000)],
)
async def test_any_raw_encoding_and_rate_is_heard(
    embedded: RunningServer, fixtures: Path, encoding: str, rate: int
) -> None:
    data = _encoded(np.concatenate(list(decode(fixtures / "letter.flac", max_seconds=None))), encoding, rate)
    conversation = await said(embedded, data, encoding=encoding, sample_rate=rate, size=777)
    assert conversation.messages[-1]["audio_s"] == pytest.approx(_seconds(fixtures / "letter.flac"), abs=0.01)
    assert word_error_rate("letter.flac", conversation.text) <= (0.7 if rate == 8000 else 0.45)


@pytest.mark.parametrize("kind", [WEBM, OPUS], ids=["webm", "ogg"])
async def test_a_browsers_recording_is_decoded_as_it_comes(
    embedded: RunningServer, fixtures: Path, kind: object
) -> None:
    audio = np.concatenate(list(decode(fixtures / "letter.flac", max_seconds=None)))
    name = "webm" if kind is WEBM else "ogg"
    data = encode(audio, SAMPLE_RATE, kind)
    conversation = await said(embedded, data, encoding=name, size=501)
    assert word_error_rate("letter.flac", conversation.text) <= 0.45
    assert conversation.messages[-1]["audio_s"] == pytest.approx(len(audio) / SAMPLE_RATE, abs=0.1)


async def test_garbage_in_a_container_is_an_error_and_a_new_recorder_is_heard(
    scripted: RunningServer, fixtures: Path
) -> None:
    audio = np.concatenate(list(decode(fixtures / "letter.flac", max_seconds=None)))
    async with talk(scripted, encoding="webm") as conversation:
        await conversation.send(b"this is no audio" * 100)
        assert (await conversation.next(status="error"))["code"] in ("NOT_AUDIO", "UNDECODABLE_AUDIO")
        await conversation.send(encode(audio, SAMPLE_RATE, WEBM))
        await conversation.close()
    assert conversation.finals


async def test_a_flush_is_answered_with_a_final_even_in_silence(scripted: RunningServer, speech: bytes) -> None:
    async with talk(scripted) as conversation:
        await conversation.send({"action": "flush"})
        empty = await conversation.next(is_final=True)
        assert (empty["text"], empty["start_s"], empty["end_s"]) == ("", 0.0, 0.0)
        await conversation.say(speech[: 2 * BYTES_PER_S])
        await conversation.send({"action": "flush"})
        final = await conversation.next(is_final=True)
        assert final["text"].startswith("w0 w1")
        assert final["end_s"] == 2.0


async def test_a_reset_discards_what_was_being_said(scripted: RunningServer, speech: bytes) -> None:
    async with talk(scripted) as conversation:
        await conversation.say(speech[: 2 * BYTES_PER_S])
        await conversation.send({"action": "reset"})
        await conversation.next(status="buffer_reset")
        await conversation.close()
    assert conversation.finals == []


async def test_options_can_be_changed_on_the_way(scripted: RunningServer, speech: bytes) -> None:
    async with talk(scripted, use_server_vad="false") as conversation:
        await conversation.say(speech)
        await conversation.send({"action": "config", "use_server_vad": True, "language": "German", "words": True})
        configured = await conversation.next(status="configured")
        assert (configured["use_server_vad"], configured["language"], configured["words"]) == (True, "de", True)
        assert conversation.finals == []
        await conversation.say(bytes(BYTES_PER_S))
        final = await conversation.next(is_final=True)
        assert final["language"] == "de"
        assert [word["word"] for word in final["words"]] == final["text"].split()


async def test_smart_turn_detection_ends_a_sentence_and_goes_on_in_one(embedded: RunningServer, fixtures: Path) -> None:
    sentence, pause = pcm_file(fixtures / "meeting.flac"), bytes(round(0.8 * BYTES_PER_S))
    article = round(2.14 * BYTES_PER_S / 2) * 2  # Mister Thomas Brown will meet the
    async with talk(embedded, turn_detection="smart", max_silence_ms="1500") as conversation:
        assert conversation.messages[0]["turn_detection"] == "smart"
        await conversation.say(sentence[:article] + pause + sentence[article:] + bytes(2 * BYTES_PER_S), pace=1)
        await conversation.close()
    finals = [final["text"] for final in conversation.finals if final["text"]]
    assert word_error_rate("meeting.flac", " ".join(finals)) <= 0.3
    assert len(finals) <= 2  # one, unless a busy machine judged too late


async def test_without_server_vad_only_a_flush_ends_a_segment(scripted: RunningServer, speech: bytes) -> None:
    async with talk(scripted, use_server_vad="false") as conversation:
        await conversation.say(speech)
        await conversation.send({"action": "flush"})
        final = await conversation.next(is_final=True)
    assert final["end_s"] == pytest.approx(len(speech) / BYTES_PER_S, abs=0.001)
    assert len(conversation.finals) == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "INVALID_JSON"),
        ("[1, 2]", "INVALID_JSON"),
        ("[" * 60_000, "INVALID_JSON"),
        ('{"action": "dance"}', "UNKNOWN_ACTION"),
        ('{"action": "\\ud800"}', "UNKNOWN_ACTION"),
        ('{"text": "no action"}', "UNKNOWN_ACTION"),
        ('{"action": "config", "colour": "red"}', "INVALID_CONFIG"),
        ('{"action": "config", "words": "perhaps"}', "INVALID_CONFIG"),
        ('{"action": "config", "sample_rate": 8000}', "INVALID_CONFIG"),
        ('{"action": "config", "silence_ms": NaN}', "INVALID_CONFIG"),
        ('{"action": "config", "silence_ms": 1e99}', "INVALID_CONFIG"),
        ('{"action": "config", "threshold": 1' + "0" * 400 + "}", "INVALID_CONFIG"),
        ('{"action": "config", "language": "Klingon"}', "UNSUPPORTED_LANGUAGE"),
        ('{"action": "config", "translate_to": "fr"}', "INVALID_CONFIG"),
    ],
)
async def test_a_bad_message_is_answered_by_name_and_ends_nothing(
    scripted: RunningServer, speech: bytes, frame: str, code: str
) -> None:
    async with talk(scripted) as conversation:
        await conversation.socket.send(frame)
        error = await conversation.next(status="error")
        assert error["code"] == code
        assert error["statusCode"] == 400
        assert error["message"]
        await conversation.say(speech[: 2 * BYTES_PER_S])
        await conversation.close()
    assert conversation.finals


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sample_rate": 4000}, "UNSUPPORTED_SAMPLE_RATE"),
        ({"sample_rate": "fast"}, "INVALID_CONFIG"),
        ({"encoding": "mp3"}, "INVALID_CONFIG"),
        ({"language": "fr"}, "UNSUPPORTED_LANGUAGE"),
        ({"captions": "lrc"}, "INVALID_CONFIG"),
        ({"turn_threshold": 0.7}, "INVALID_CONFIG"),
        ({"model": "unheard-of"}, "MODEL_NOT_FOUND"),
        ({"surprise": 1}, "INVALID_CONFIG"),
        ({"offset_s": -1}, "INVALID_CONFIG"),
    ],
)
async def test_a_bad_query_is_refused_over_the_socket_by_name(
    embedded: RunningServer, query: dict[str, object], code: str
) -> None:
    async with talk(embedded, **query) as conversation:
        await conversation.until_closed()
    (error,) = conversation.messages
    assert (error["status"], error["code"]) == ("error", code)
    assert conversation.socket.close_code == 1008


async def test_a_prompt_that_the_backend_cannot_use_is_ignored_aloud(embedded: RunningServer) -> None:
    async with talk(embedded, prompt="a hint", hotwords="Qwen") as conversation:
        assert conversation.messages[0]["ignored"] == ["prompt", "hotwords"]
        await conversation.send({"action": "config", "hotwords": ["ASR"]})
        assert (await conversation.next(status="configured"))["ignored"] == ["hotwords"]


async def test_a_session_resumes_where_the_last_final_ended(scripted: RunningServer, speech: bytes) -> None:
    whole = await said(scripted, speech)
    first = whole.finals[0]
    rest = await said(scripted, speech[round(first["end_s"] * BYTES_PER_S) :], offset_s=first["end_s"])
    expected = [(final["text"], final["start_s"]) for final in whole.finals[1:]]
    assert [final["text"] for final in rest.finals] == [text for text, _ in expected]
    for final, (_, start_s) in zip(rest.finals, expected, strict=True):
        assert final["start_s"] == pytest.approx(start_s, abs=0.04)


async def test_captions_joined_are_an_srt_file(scripted: RunningServer, speech: bytes) -> None:
    conversation = await said(scripted, speech, captions="srt")
    cues = list(srt.parse("".join(final["caption"] for final in conversation.finals)))
    assert [cue.index for cue in cues] == list(range(1, len(cues) + 1))
    assert " ".join(cue.content.replace("\n", " ") for cue in cues) == conversation.text
    for before, after in pairwise(cues):
        assert before.end <= after.start


async def test_captions_joined_are_a_webvtt_file(scripted: RunningServer, speech: bytes) -> None:
    conversation = await said(scripted, speech, captions="vtt")
    cues = webvtt.from_string("".join(final["caption"] for final in conversation.finals))
    assert " ".join(cue.text.replace("\n", " ") for cue in cues) == conversation.text


async def test_captions_of_a_resumed_session_go_on_with_the_file(scripted: RunningServer, speech: bytes) -> None:
    conversation = await said(scripted, speech, captions="srt", offset_s=60, first_cue=12)
    first = next(srt.parse("".join(final["caption"] for final in conversation.finals)))
    assert first.index == 12
    assert first.start.total_seconds() >= 60
    vtt = await said(scripted, speech, captions="vtt", offset_s=60, first_cue=12)
    assert not vtt.finals[0]["caption"].startswith("WEBVTT")


async def test_finals_carry_a_translation_and_nothing_is_held_up_by_it(speech: bytes) -> None:
    with (
        LlmServer() as llm,
        RunningServer(ASR_BACKEND="scripted", OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="m") as server,
    ):
        conversation = await said(server, speech, translate_to="fr")
    assert len(conversation.finals) >= 2
    for final in conversation.finals:
        assert final["translation"] == f"{final['text']} (fr)"
        settled = [
            partial
            for partial in conversation.messages[: conversation.messages.index(final)]
            if partial.get("is_partial") and partial["segment_id"] == final["segment_id"] and not partial["draft"]
        ]
        assert settled[-1]["stable"] == final["text"]


async def test_a_broken_llm_costs_the_translation_and_not_the_final(speech: bytes) -> None:
    with (
        LlmServer(then=lambda lines, request: Answer(status=500)) as llm,
        RunningServer(
            ASR_BACKEND="scripted", OPENAI_BASE_URL=llm.url, TRANSLATE_MODEL="m", TRANSLATE_RETRIES="0"
        ) as server,
    ):
        conversation = await said(server, speech, translate_to="fr")
    assert len(conversation.finals) >= 2
    assert all("translation" not in final for final in conversation.finals)


@pytest.mark.slow
async def test_a_client_that_the_server_cannot_keep_up_with_is_told(speech: bytes) -> None:
    with RunningServer(ASR_BACKEND="scripted", MODEL_ID="scripted@400ms") as server:
        async with talk(server, silence_ms=200) as conversation:
            await conversation.say(speech * 3)
            lag = await conversation.next(status="lag")
    assert lag["behind_s"] > 3
    assert lag["rtf"] > 0


async def test_a_ping_is_answered(scripted: RunningServer) -> None:
    async with talk(scripted) as conversation:
        await conversation.send({"action": "ping"})
        await conversation.next(status="pong")


async def test_many_streams_at_once_each_get_their_own_text(scripted: RunningServer, speech: bytes) -> None:
    lengths = [round(n * 0.9 * BYTES_PER_S) // 2 * 2 for n in range(2, 8)]
    alone = [await said(scripted, speech[:length]) for length in lengths]
    together = await asyncio.gather(*(said(scripted, speech[:length]) for length in lengths))
    assert [[_plain(f) for f in t.finals] for t in together] == [[_plain(f) for f in a.finals] for a in alone]


def _plain(final: dict[str, object]) -> str:
    return json.dumps({name: final[name] for name in ("text", "start_s", "end_s", "segment_id")})


def _seconds(path: Path) -> float:
    return len(pcm_file(path)) / BYTES_PER_S


def _encoded(audio: np.ndarray, encoding: str, rate: int) -> bytes:
    import soxr

    samples = soxr.resample(audio, SAMPLE_RATE, rate).astype(np.float32)
    match encoding:
        case "pcm_s16le":
            return pcm_of(samples)
        case "pcm_f32le":
            return samples.astype("<f4").tobytes()
        case _:
            values = PcmDecoder(encoding).feed(bytes(range(256)))  # type: ignore[arg-type]
            order = np.argsort(values, kind="stable")
            nearest = np.clip(np.searchsorted(values[order], samples), 0, 255)
            return order[nearest].astype(np.uint8).tobytes()
