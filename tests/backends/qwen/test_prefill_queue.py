"""Who is filled in when, and who gives up a slot for it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.base import Recognize
from steno.backends.qwen.batching.prefill_queue import MAX_GATHER_STEPS
from steno.types import SAMPLE_RATE
from stepping import Spied, outcomes_of
from tiny.clips import clips

SLOTS = 8


def steps_beside(loaded: Any, recordings: int) -> tuple[int, int]:
    """The steps until a sentence is read that comes when so many recordings are being decoded, and its tokens."""
    backend = Spied(loaded, SLOTS)
    for _ in range(recordings):
        backend.admit(Recognize(clips()["talk"].audio.copy()))
    while len(backend.runner.decoding) < recordings:
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
    assert tokens + MAX_GATHER_STEPS // 2 < steps <= tokens + MAX_GATHER_STEPS + 2


def test_one_stream_more_than_slots_costs_one_of_them_its_slot_and_not_each_in_turn(trained: Any) -> None:
    backend = Spied(trained, SLOTS)
    slot_allocator = backend.runner.slot_allocator
    streams = [f"stream-{n}" for n in range(SLOTS + 1)]
    audio = clips()["talk"].audio
    lost = 0
    for second in range(2, 10):
        for stream in streams:
            lost += second > 4 and slot_allocator.cached(stream).slot is None
            outcomes_of(backend, [Recognize(audio[: second * SAMPLE_RATE], utterance=stream, final=False)])
    assert lost <= 5 * len(streams) / 2


def test_a_stream_that_fell_silent_is_the_first_to_lose_its_slot(trained: Any) -> None:
    backend = Spied(trained, 3)
    audio = clips()["talk"].audio

    def hear(stream: str, second: int) -> None:
        outcomes_of(backend, [Recognize(audio[: second * SAMPLE_RATE], utterance=stream, final=False)])

    for second in range(1, 9):
        for stream in ("a", "b", "c"):
            if stream != "b" or second < 4:
                hear(stream, second)
    hear("d", 1)
    slots = {stream: backend.runner.slot_allocator.cached(stream).slot for stream in ("a", "b", "c", "d")}
    assert [stream for stream, slot in slots.items() if slot is None] == ["b"]
