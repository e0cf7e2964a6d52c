"""Qwen3-ASR with random weights that says what a script says: all of it is computed, then its choices are replaced.

Random weights know no end, and say nothing that a text could be made of. The script has three tokens a second, as
English speech, of which each step revises the last three, as real partials do (about three in five tokens of a draft
that short turn out right, which was measured on a trained checkpoint).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from steno.backends.qwen.decoder import Choice
from steno.backends.qwen.machine import Machine
from steno.backends.qwen.runner import Row, Runner
from steno.types import SAMPLE_RATE

TOKENS_PER_S, REVISED = 3, 3
END = 1
SLOT_TOKENS = 4096


def script(seconds: float) -> list[int]:
    """What is said after so much audio: the last tokens are others at each step."""
    count = round(TOKENS_PER_S * seconds)
    steady = random.Random(0).choices(range(2, 200), k=count)
    return steady[: max(count - REVISED, 0)] + random.Random(count).choices(range(2, 200), k=min(REVISED, count))


class Scripted(Runner):
    """A runner around a loaded checkpoint.

    Args:
        loaded: the checkpoint.
        slots: rows at once.
        tokens: that a slot can hold.
    """

    def __init__(self, loaded: Any, slots: int, tokens: int = SLOT_TOKENS, *, incremental: bool = True) -> None:
        machine = Machine(loaded, slots, tokens)
        machine.ends = frozenset({END})
        super().__init__(machine, slots, incremental=incremental)

    def _take(self, row: Row, choices: Iterable[Choice]) -> list[Row]:
        said = script(len(row.hearing.audio) / SAMPLE_RATE)
        tokens = [*said[len(row.tokens) :], END]
        return super()._take(row, [Choice(token, 0.0, token) for token, _ in zip(tokens, choices, strict=False)])
