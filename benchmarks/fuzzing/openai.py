"""Sessions of the OpenAI Realtime dialect: damaged events in any order, odd configurations, bad base64."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator
from urllib.parse import quote

from benchmarks import speech
from benchmarks.fuzzing.json_values import Json, damaged, mutated, written
from benchmarks.fuzzing.sessions import Ending, Frame, FrameKind, Session

AUDIO_S = 20.0
FRAME_BYTES = (0, 1, 2, 3, 479, 4800, 32_000, 100_000)
MAX_FRAMES = 40
BETA = ("OpenAI-Beta", "realtime=v1")

TRANSCRIPTIONS: tuple[Json, ...] = (
    *(None, {}, {"model": "whisper-1"}, {"model": "gpt-4o-transcribe", "language": "en"}, {"language": "xx"}),
    *({"prompt": "x" * 4000}, {"keywords": ["a", "b"]}, {"keywords": ["x"] * 2000}, {"languages": ["en", "fr"]}),
)
TURN_DETECTIONS: tuple[Json, ...] = (
    *(None, {}, {"type": "server_vad"}, {"type": "semantic_vad", "eagerness": "high"}, {"type": "none"}),
    {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 200},
    *({"threshold": 0}, {"threshold": 1}, {"silence_duration_ms": 0}, {"prefix_padding_ms": 1e8}),
)
FORMATS: tuple[Json, ...] = (
    *(
        {"type": "audio/pcm", "rate": 24_000},
        {"type": "audio/pcmu"},
        {"type": "audio/pcma"},
        "pcm16",
        "g711_ulaw",
        None,
    ),
    *({"type": "audio/pcm", "rate": rate} for rate in (0, 1, 7999, 8000, 16_000, 44_100.5, 192_000, 10**8)),
)
NOISE_REDUCTIONS: tuple[Json, ...] = (None, {}, {"type": "near_field"}, {"type": "far_field", "strength": 0.5})
INCLUDES: tuple[Json, ...] = (None, [], ["item.input_audio_transcription.logprobs"], ["x"])

OTHER_EVENTS: tuple[Json, ...] = (
    *({"type": "input_audio_buffer.commit"}, {"type": "input_audio_buffer.clear"}, {"type": "response.create"}),
    {"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": []}},
    *({"type": "conversation.item.delete", "item_id": "item_1"}, {"type": "unknown", "event_id": "e" * 600}, {}),
)

QUERIES = (
    *("", "?intent=transcription", "?intent=conversation", "?model=gpt-realtime", "?model=whisper-1", "?model="),
    *("?intent=transcription&model=%ff%00", "?intent&intent=transcription", "?" + "a=b&" * 500, f"?model={'x' * 3000}"),
    *("?language=en", "?%", "?intent=transcription&x=" + quote("语" * 100)),
)


def openai_sessions(dice: random.Random) -> Iterator[Session]:
    """Sessions without end."""
    pcm = speech.pattern(AUDIO_S)
    while True:
        frames = [_frame(pcm, dice) for _ in range(dice.choice([0, 1, 3, 10, MAX_FRAMES]))]
        marker = f"last-{dice.getrandbits(64):x}"
        frames.append(Frame("text", json.dumps({"type": "fuzz.last", "event_id": marker}).encode()))
        query = dice.choice(QUERIES) if dice.random() < 0.2 else "?intent=transcription"
        endings: list[Ending] = ["answer", "answer", "close", "abort"]
        yield Session(
            "openai", f"/v1/realtime{query}", tuple(frames), dice.choice(endings), marker,
            headers=(BETA,) if dice.random() < 0.3 else (),
            subprotocols=("realtime", "openai-beta.realtime-v1") if dice.random() < 0.2 else (),
        )  # fmt: skip


def _frame(pcm: bytes, dice: random.Random) -> Frame:
    text = written(_event(pcm, dice), dice)
    chance = dice.random()
    if chance < 0.03:
        return Frame("binary", dice.randbytes(dice.choice(FRAME_BYTES)))
    if chance < 0.05:
        return Frame("ping", b"")
    if chance < 0.055:
        return Frame("raw", dice.randbytes(50))
    if chance < 0.08:
        return Frame("text", damaged(text, dice))
    kinds: list[FrameKind] = ["text", "fragments"]
    return Frame(dice.choices(kinds, (15, 1))[0], text)


def _event(pcm: bytes, dice: random.Random) -> Json:
    match dice.randrange(10):
        case 0 | 1:
            event = _update(dice)
        case 2 | 3 | 4:
            event = dice.choice(OTHER_EVENTS)
        case _:
            event = {"type": "input_audio_buffer.append", "audio": _audio(pcm, dice)}
    return mutated(event, dice) if dice.random() < 0.08 else event


def _audio(pcm: bytes, dice: random.Random) -> str:
    start = 2 * dice.randrange(len(pcm) // 2)
    text = base64.b64encode(pcm[start : start + dice.choice(FRAME_BYTES)]).decode()
    if dice.random() < 0.05:
        text = dice.choice([text[:-1], text + "=", "=" + text, text.replace("A", "-"), "\n" + text, text + "é", "AAA"])
    return text


def _update(dice: random.Random) -> Json:
    heard = {
        "format": dice.choice(FORMATS),
        "noise_reduction": dice.choice(NOISE_REDUCTIONS),
        "transcription": dice.choice(TRANSCRIPTIONS),
        "turn_detection": dice.choice(TURN_DETECTIONS),
    }
    heard = {name: value for name, value in heard.items() if dice.random() < 0.4}
    include = {"include": dice.choice(INCLUDES)} if dice.random() < 0.2 else {}
    if dice.random() < 0.3:
        beta = {name if name == "turn_detection" else f"input_audio_{name}": value for name, value in heard.items()}
        return {"type": "transcription_session.update", "session": {**beta, **include}}
    session = {"type": "transcription", "audio": {"input": heard}, **include}
    return {"type": "session.update", "event_id": "e", "session": session}
