"""Sessions of the Deepgram dialect: odd options in the query, damaged messages, binary garbage, odd frame sizes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from benchmarks import speech
from benchmarks.fuzzing import media
from benchmarks.fuzzing.json_values import Json, damaged, mutated, written
from benchmarks.fuzzing.sessions import Ending, Frame, Session

AUDIO_S = 20.0
FRAME_BYTES = (1, 3, 639, 3200, 32_000, 200_000)
MAX_FRAMES = 40

OPTIONS: dict[str, tuple[str, ...]] = {
    "encoding": ("linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus", "flac", "", "x"),
    "sample_rate": ("16000", "8000", "48000", "0", "1", "999999999", "-1", "1e5", "16000.0", "nan", "١٦٠٠٠"),
    "channels": ("1", "2", "0", "x"),
    "interim_results": ("true", "false", "TRUE", "1", ""),
    "vad_events": ("true", "false", "x"),
    "endpointing": ("true", "false", "0", "10", "300", "10000000", "-5", "x"),
    "utterance_end_ms": ("1000", "999", "100000000", "x"),
    "language": ("en", "multi", "en-US", "xx", "", "语"),
    "model": ("nova-3", "nova-2-meeting", "whisper", "", "x" * 1000),
    "keyterm": ("word", "", "x" * 3000, "a b c"),
    "keywords": ("word:2", "word:-2", ":::", "a:1e9"),
    "punctuate": ("true", "x"),
    "diarize": ("true", "false"),
    "version": ("latest", "1"),
    "unknown": ("", "1"),
    "": ("", "x"),
}

MESSAGES: tuple[Json, ...] = (
    *({"type": "KeepAlive"}, {"type": "Finalize"}, {"type": "Finalize"}, {"type": "Configure"}),
    *({"type": "Configure", "keyterms": ["a", "b"]}, {"type": "Configure", "features": {"punctuate": True}}),
    *({"type": "Configure", "keyterms": ["x"] * 3000}, {"type": "Configure", "thresholds": {"eot_threshold": 0.5}}),
    *({"type": "Configure", "language_hints": ["en"]}, {"type": "Unknown"}, {}),
)
CLOSE = json.dumps({"type": "CloseStream"}).encode()
FAREWELL = '"Metadata"'


def deepgram_sessions(dice: random.Random) -> Iterator[Session]:
    """Sessions without end."""
    pcm = speech.pattern(AUDIO_S)
    webm = media.encoded(next(format for format in media.FORMATS if format.name == "webm"))
    while True:
        is_pcm = dice.random() < 0.7
        audio = pcm if is_pcm else webm if dice.random() < 0.3 else media.damaged(webm, pcm, dice)
        frames = frames_of(audio, MESSAGES, dice)
        frames.append(Frame("text", CLOSE))
        endings: list[Ending] = ["answer", "answer", "close", "abort"]
        yield Session(
            "deepgram", f"/v1/listen?{_query(dice, is_pcm=is_pcm)}", tuple(frames), dice.choice(endings), FAREWELL,
            subprotocols=dice.choice([("token", "key"), ("bearer", "x")]) if dice.random() < 0.1 else (),
        )  # fmt: skip


def _query(dice: random.Random, *, is_pcm: bool) -> str:
    options = [("encoding", "linear16"), ("sample_rate", "16000")] if is_pcm else []
    if dice.random() < 0.5:
        options += [("interim_results", "true"), ("vad_events", "true"), ("utterance_end_ms", "1000")]
    return query_of(options, OPTIONS, dice)


def query_of(options: list[tuple[str, str]], odd: Mapping[str, Sequence[str]], dice: random.Random) -> str:
    """A query of `options`, with up to three odd ones, and sometimes broken."""
    if dice.random() < 0.4:
        for _ in range(dice.choice([1, 1, 2, 3])):
            name = dice.choice(list(odd))
            options = [option for option in options if option[0] != name or dice.random() < 0.1]
            options.append((name, dice.choice(odd[name])))
    dice.shuffle(options)
    text = "&".join(f"{quote(name)}={quote(value)}" for name, value in options)
    return text + dice.choice(["&%ff=%00", "&&", "&%zz", "&=%"]) if dice.random() < 0.03 else text


def frames_of(audio: bytes, messages: Sequence[Json], dice: random.Random) -> list[Frame]:
    """Parts of the audio, in order, with messages between them, sane and damaged."""
    frames, at = [], 0
    for _ in range(dice.choice([0, 1, 3, 10, MAX_FRAMES])):
        if dice.random() < 0.6:
            size = dice.choice(FRAME_BYTES)
            frames.append(Frame("binary", audio[at : at + size] or b"\x00"))
            at += size
        else:
            frames.append(_other(messages, dice))
    return frames


def _other(messages: Sequence[Json], dice: random.Random) -> Frame:
    message = dice.choice(messages)
    text = written(mutated(message, dice) if dice.random() < 0.3 else message, dice)
    match dice.randrange(30):
        case 0:
            return Frame("binary", dice.randbytes(dice.choice(FRAME_BYTES)))
        case 1:
            return Frame("binary", b"")
        case 2:
            return Frame("text", damaged(text, dice))
        case 3:
            return Frame("raw", dice.randbytes(50))
        case 4:
            return Frame("ping", b"")
        case 5:
            return Frame("fragments", text)
        case 6:
            return Frame("text", CLOSE)
        case _:
            return Frame("text", text)
