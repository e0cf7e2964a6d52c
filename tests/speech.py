"""What the shipped recordings say, and how far a transcript is from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jiwer

FIXTURES = Path(__file__).parent / "fixtures"
TRANSCRIPTS: dict[str, str] = json.loads((FIXTURES / "transcripts.json").read_text(encoding="utf-8"))


def word_error_rate(name: str, heard: str) -> float:
    """Of `heard` against what fixture `name` says; case and punctuation do not count."""
    return float(jiwer.wer(_plain(TRANSCRIPTS[name]), _plain(heard)))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z' ]+", " ", text.lower()).strip()
