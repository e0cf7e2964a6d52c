"""The shipped clips: what they say, when, and how far a transcript is from it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jiwer
import numpy as np
from numpy.typing import NDArray

from steno.audio.decode import decode

HERE = Path(__file__).parent
ASR, DRAFT, ALIGNER = (HERE / f"tiny-{name}" for name in ("asr", "draft", "aligner"))
CLIPS = HERE / "clips"


@dataclass(frozen=True, slots=True)
class Clip:
    """A held-out recording."""

    name: str
    text: str
    language: str
    words: tuple[tuple[str, float, float], ...]
    """Each with its start and end in seconds."""

    @property
    def path(self) -> Path:
        return CLIPS / f"{self.name}.flac"

    @property
    def audio(self) -> NDArray[np.float32]:
        """16 kHz."""
        return np.concatenate(list(decode(self.path, max_seconds=None)))


@cache
def clips() -> dict[str, Clip]:
    listed = json.loads((CLIPS / "clips.json").read_text(encoding="utf-8"))
    return {
        name: Clip(name, one["text"], one["language"], tuple((word, a, b) for word, a, b in one["words"]))
        for name, one in listed.items()
    }


def word_error_rate(said: list[str], heard: list[str]) -> float:
    """Over all of them; case and punctuation do not count."""
    return float(jiwer.wer([plain(text) for text in said], [plain(text) or "-" for text in heard]))


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w ]+", " ", text.lower()).split())
