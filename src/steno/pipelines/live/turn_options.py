"""Turn detection: from a client's options and the server's settings to what the session and the turn stage do.

`silence` ends an utterance after `silence_ms`. `smart` judges pauses (`steno.turn_detection`): an utterance ends as
soon as it is probable enough that it is complete, which a longer pause makes likelier, and after `max_silence_ms` in
any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

TurnDetection: TypeAlias = Literal["silence", "smart"]
TURN_DETECTIONS: tuple[TurnDetection, ...] = ("silence", "smart")
Eagerness: TypeAlias = Literal["low", "medium", "high", "auto"]

CHECKS_MS = tuple(96.0 + 128 * n for n in range(64))
"""Pauses, up to 8 s, in which it is decided whether an utterance ends. What was heard is judged in the first one:
later it is judged no better, and the longer a pause, the more of what is incomplete sounds complete
(`LEARNING_LOG.md`). In the further ones only the length of the pause has changed."""


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Defaults of the server; a client's options override them."""

    detection: TurnDetection = "silence"
    threshold: float = 0.6
    """Probability from which an utterance is complete."""
    max_silence_ms: float = 3000


EAGERNESS: Mapping[Eagerness, TurnSettings] = {
    "low": TurnSettings("smart", 0.8, 8000),
    "medium": TurnSettings("smart", 0.6, 4000),
    "high": TurnSettings("smart", 0.4, 2000),
    "auto": TurnSettings("smart", 0.6, 4000),
}
"""OpenAI's names. It documents the longest waits: 8, 4 and 2 s; `auto` is `medium`."""
