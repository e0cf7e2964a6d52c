"""Turn detection: from a client's options and the server's settings to what the session and the turn stage do.

`silence` ends an utterance after `silence_ms`. `smart` judges pauses by their sound (`steno.vad.smart_turn`): a
complete utterance ends at the first check, an incomplete one goes on for up to `max_silence_ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

TurnDetection: TypeAlias = Literal["silence", "smart"]
TURN_DETECTIONS: tuple[TurnDetection, ...] = ("silence", "smart")
Eagerness: TypeAlias = Literal["low", "medium", "high", "auto"]

CHECKS_MS = (128.0, 1000.0, 2000.0)
"""Pauses in which an utterance is judged. Few: each is a chance to be wrong, and the longer the pause, the more of what
is incomplete sounds complete. After 128 ms the judgement is no worse than after 224 (`LEARNING_LOG.md`)."""
SPECULATE_MS = 96.0
"""Pause after which the final is recognised in advance. What is left out is silence, and costs no words
(`LEARNING_LOG.md`)."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Defaults of the server; a client's options override them."""

    detection: TurnDetection = "silence"
    threshold: float = 0.5
    """Probability from which an utterance is complete."""
    max_silence_ms: float = 3000


EAGERNESS: Mapping[Eagerness, TurnSettings] = {
    "low": TurnSettings("smart", 0.9, 8000),
    "medium": TurnSettings("smart", 0.5, 4000),
    "high": TurnSettings("smart", 0.3, 2000),
    "auto": TurnSettings("smart", 0.5, 4000),
}
"""OpenAI's names. It documents the longest waits: 8, 4 and 2 s; `auto` is `medium`."""
