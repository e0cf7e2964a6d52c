"""When a recording that comes while others are decoded is filled in."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.base import Recognize
from steno.backends.qwen.waiting import GATHERING
from stepping import Spied
from tiny.clips import clips

SLOTS = 8


def steps_beside(loaded: Any, recordings: int) -> tuple[int, int]:
    """The steps until a sentence is read that comes when so many recordings are being decoded, and its tokens."""
    backend = Spied(loaded, SLOTS)
    for _ in range(recordings):
        backend.admit(Recognize(clips()["talk"].audio.copy()))
    while len(backend.runner._decoding) < recordings:
        backend.step()
    sentence = Recognize(clips()["english-0"].audio)
    backend.admit(sentence)
    steps = 0
    while not any(done.work is sentence for done in backend.step()):
        steps += 1
    return steps + 1, len(backend.tokens[sentence])


@pytest.mark.parametrize("recordings", [1, 3])
def test_beside_few_a_recording_begins_at_once(trained: Any, recordings: int) -> None:
    steps, tokens = steps_beside(trained, recordings)
    assert steps <= tokens + 2


def test_beside_many_it_waits_for_others_to_be_filled_in_with_but_not_for_ever(trained: Any) -> None:
    steps, tokens = steps_beside(trained, SLOTS // 2)
    assert tokens + GATHERING // 2 < steps <= tokens + GATHERING + 2
