"""What is asked of Qwen's SDK and of ours, and what the SDK answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steno.audio.decode import decode
from steno.types import SAMPLE_RATE

if TYPE_CHECKING:
    from steno.types import Audio

ORACLE = Path(__file__).with_name("oracle.py")
TINY = Path(__file__).parent.parent / "tiny"
NAMES = {"en": "English", "de": "German"}

WINDOW_S = 8.0
"""Longer clips are left out: under SDPA the SDK attends past the encoder's window, unlike in training."""

CONTEXTS = ("", "Mark, Cate")
MAX_NEW_TOKENS = 120


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A sentence."""

    name: str
    audio: Audio
    text: str
    language: str


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A clip, and how it is put to a recogniser."""

    clip: Clip
    language: str | None
    context: str

    def __str__(self) -> str:
        return f"{self.clip.name}, language {self.language}, context {self.context!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The SDK's."""

    transcripts: list[tuple[Question, dict[str, str]]]
    """With `text` and `language`, a name."""
    alignments: list[tuple[Clip, list[tuple[str, float, float]]]]
    """Words with start and end, in seconds."""


def clips_of(folder: Path) -> list[Clip]:
    """The sentences of a folder with a `clips.json`, without what is longer than the encoder's window."""
    listed = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
    made = []
    for name, clip in listed.items():
        audio = np.concatenate(list(decode(folder / f"{name}.flac", max_seconds=None)))
        if len(audio) <= WINDOW_S * SAMPLE_RATE:
            made.append(Clip(name, audio, clip["text"], clip["language"]))
    return made


def questions(clips: Sequence[Clip]) -> Iterator[Question]:
    """Each clip with its language forced and not, with a context and without."""
    for clip in clips:
        for language in (None, clip.language):
            for context in CONTEXTS:
                yield Question(clip, language, context)


def ask(clips: Sequence[Clip], checkpoints: Path, work: Path) -> Answers:
    """The SDK's answers, by `tiny-asr` and `tiny-aligner` in `checkpoints`: all in one run, for starting it is slow."""
    files = {clip: str(work / f"{clip.name}.npy") for clip in clips}
    for clip, file in files.items():
        np.save(file, clip.audio)
    asked = list(questions(clips))
    generation = json.loads((checkpoints / "tiny-asr" / "generation_config.json").read_text())
    answers = _run(
        {
            "recogniser": str(checkpoints / "tiny-asr"),
            "aligner": str(checkpoints / "tiny-aligner"),
            "ends": generation["eos_token_id"],
            "max_new_tokens": MAX_NEW_TOKENS,
            "transcribe": [
                {"audio": files[one.clip], "language": NAMES.get(one.language or ""), "context": one.context}
                for one in asked
            ],
            "align": [{"audio": files[clip], "text": clip.text, "language": NAMES[clip.language]} for clip in clips],
        }
    )
    transcripts = list(zip(asked, answers["transcripts"], strict=True))
    return Answers(transcripts, list(zip(clips, answers["alignments"], strict=True)))


def _run(asked: dict[str, Any]) -> dict[str, Any]:
    ended = subprocess.run(
        [os.environ["STENO_SDK_PYTHON"], str(ORACLE)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=500,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    answers: dict[str, Any] = json.loads(ended.stdout)
    return answers
