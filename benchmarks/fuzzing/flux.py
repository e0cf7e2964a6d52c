"""Sessions of Deepgram Flux: odd thresholds in the query and in `Configure`, damaged messages, odd frame sizes."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks import speech
from benchmarks.fuzzing.deepgram import AUDIO_S, CLOSE, frames_of, query_of
from benchmarks.fuzzing.json_values import Json
from benchmarks.fuzzing.sessions import Ending, Frame, Session

OPTIONS: dict[str, tuple[str, ...]] = {
    "model": ("flux-general-en", "flux-general-multi", "flux-", "nova-3", "", "x" * 1000),
    "encoding": ("linear16", "linear32", "mulaw", "opus", "flac", ""),
    "sample_rate": ("16000", "8000", "0", "-1", "1e5", "nan"),
    "eot_threshold": ("0.5", "0.7", "1", "1.0", "0.4999", "nan", "inf", "-0.7", "1e-1", "٠٫٧", ""),
    "eager_eot_threshold": ("0.3", "0.9", "0.7", "2", "x"),
    "eot_timeout_ms": ("500", "60000", "499", "1e4", "9" * 400, "x"),
    "keyterm": ("word", "", "x" * 3000),
    "language_hint": ("en", "de", "xx", "", "语"),
    "numerals": ("true", "false", "x"),
    "tag": ("a", ""),
    "interim_results": ("true",),
    "": ("", "x"),
}
THRESHOLDS: tuple[Json, ...] = ({"eot_threshold": 0.9}, {"eot_threshold": None}, {"eot_timeout_ms": "x"}, [], {"x": 1})
MESSAGES: tuple[Json, ...] = (
    *({"type": "ForceEndTurn"}, {"type": "ForceEndTurn"}, {"type": "Configure"}, {"type": "KeepAlive"}),
    *({"type": "Configure", "thresholds": thresholds} for thresholds in THRESHOLDS),
    *({"type": "Configure", "keyterms": ["a", "b"]}, {"type": "Configure", "keyterms": ["x"] * 3000}),
    *({"type": "Configure", "language_hints": ["en"]}, {"type": "Configure", "numerals": True}, {}),
)
FIRST = '"Connected"'


def flux_sessions(dice: random.Random) -> Iterator[Session]:
    """Sessions without end."""
    pcm = speech.pattern(AUDIO_S)
    while True:
        frames = [*frames_of(pcm, MESSAGES, dice), Frame("text", CLOSE)]
        options = [("model", "flux-general-en"), ("encoding", "linear16"), ("sample_rate", "16000")]
        if dice.random() < 0.5:
            options.append(("eager_eot_threshold", "0.5"))
        endings: list[Ending] = ["answer", "answer", "close", "abort"]
        path = f"/v2/listen?{query_of(options, OPTIONS, dice)}"
        yield Session("flux", path, tuple(frames), dice.choice(endings), FIRST)
