"""Short and long slots: a request that outgrows its slot goes on in a longer one, and its text stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch
from transformers import Qwen3Config

from benchmarks.true_size import TEXT
from steno.backends.base import Recognize, SlotUsage, SlotUse
from steno.backends.qwen.factory import create
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.slot_classes import SHORT_LENGTH, SlotClass, SlotCounts
from steno.backends.qwen.model.slot_pool import SlotPool, bytes_per_slot
from steno.backends.qwen3_asr import work_limits
from steno.backends.qwen3_asr.prompt import MAX_CONTEXT_TOKENS
from steno.backends.qwen3_asr.work_limits import MAX_AUDIO_S, PROMPT_TOKENS, token_limit
from steno.backends.registry import BackendOptions
from steno.errors import BackendError
from steno.types import SAMPLE_RATE
from stepping import Spied, outcomes_of, tokens_of
from tiny.clips import ASR, clips

MAX_LENGTH = MAX_CONTEXT_TOKENS + PROMPT_TOKENS + token_limit(MAX_AUDIO_S)


def recordings(count: int) -> list[Recognize]:
    """Four to twelve seconds each: prompts of 60 to 170 tokens, and texts of up to 50."""
    talk = clips()["talk"].audio
    lengths = np.linspace(4, 12, count)
    return [Recognize(talk[n * SAMPLE_RATE : round((n + s) * SAMPLE_RATE)]) for n, s in enumerate(lengths)]


@pytest.fixture
def short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights know no end."""
    monkeypatch.setattr(work_limits, "TOKENS_PER_S", 4)


@pytest.mark.usefixtures("short_texts")
@pytest.mark.parametrize("model", ["trained", "loud"])
@pytest.mark.parametrize("length", [80, 110, 170])
def test_texts_are_those_of_slots_of_one_length(request: Any, model: str, length: int) -> None:
    loaded, works = request.getfixturevalue(model), recordings(12)
    backend = Spied(loaded, 6, short=SlotClass(5, length))
    assert tokens_of(backend, works) == tokens_of(Spied(loaded, 6), works)
    assert backend.runner.slot_allocator.unused == 6


def outgrowing(trained: Any, monkeypatch: pytest.MonkeyPatch, longs: int) -> tuple[Spied, list[Recognize]]:
    """Four recordings with prompts of 105 tokens and texts of some 23 in slots of 118, because no text is expected."""
    monkeypatch.setattr("steno.backends.qwen.batching.slot_placement.EXPECTED_TOKENS_PER_S", 0)
    works = [Recognize(clips()["talk"].audio[n * 1000 : n * 1000 + 6 * SAMPLE_RATE]) for n in range(4)]
    backend = Spied(trained, 4 + longs, short=SlotClass(4, 118))
    assert tokens_of(backend, works) == tokens_of(Spied(trained, 4), works)
    return backend, works


def test_what_outgrows_its_slot_moves_with_its_cache(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prefilled: list[int] = []
    prefill = AsrModel.prefill

    def counted(self: AsrModel, requests: Sequence[PrefillRequest]) -> Any:
        prefilled.append(len(requests))
        return prefill(self, requests)

    monkeypatch.setattr(AsrModel, "prefill", counted)
    backend, _ = outgrowing(trained, monkeypatch, 6)
    assert (backend.runner.placement.moves, backend.runner.preemptions) == (4, 0)
    assert sum(prefilled) == 8, "each prompt once in each of two engines"


def test_without_a_long_slot_it_waits_for_one_and_its_text_goes_on(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, works = outgrowing(trained, monkeypatch, 1)
    assert (backend.runner.placement.moves, backend.runner.preemptions) == (1, 3)
    assert backend.slot_usage().preemptions == 3
    assert backend.slot_usage().classes == (SlotUse("short", 0, 0, 4), SlotUse("long", 0, 0, 1))
    assert all(backend.tokens[work] for work in works)


def test_live_work_that_waits_for_a_long_slot_can_be_cancelled(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steno.backends.qwen.batching.slot_placement.EXPECTED_TOKENS_PER_S", 0)
    backend = Spied(trained, 4, short=SlotClass(3, 118))
    audio = clips()["talk"].audio[: 6 * SAMPLE_RATE]
    works = [Recognize(audio.copy(), utterance=f"u{n}", final=False) for n in range(3)]
    for work in works:
        backend.admit(work)
    while backend.runner.preemptions < 2:
        assert not backend.step()
    for work in works:
        backend.release(work)
    assert [(use.active, use.idle) for use in backend.slot_usage().classes] == [(0, 2), (0, 1)]
    again = Recognize(audio, utterance="u1")
    assert tokens_of(backend, [again]) == tokens_of(Spied(trained, 1), [Recognize(audio)])
    for utterance in ("u0", "u2"):
        backend.forget(utterance)
    assert backend.runner.slot_allocator.unused == 4


def test_waiting_for_a_long_slot_holds_up_nothing_else_and_ends(trained: Any) -> None:
    """More recordings need the long slot than there are slots, while sentences come and go."""
    backend = Spied(trained, 4, short=SlotClass(3, 100))
    long = [Recognize(clips()["talk"].audio[: 12 * SAMPLE_RATE].copy()) for _ in range(5)]
    for work in long:
        backend.admit(work)
    sentence = clips()["english-0"].audio
    finished: list[Recognize] = []
    while not set(long) <= set(finished):
        assert len(finished) < 60
        while len(backend._requests) < 7:
            backend.admit(Recognize(sentence.copy()))
        finished += [done.work for done in backend.step()]
    assert [work for work in finished if work in long] == long
    assert not set(finished[:2]) & set(long), "the first are sentences"


def filled_by(backend: Spied, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each forward pass from now on."""
    filled: list[int] = []
    forward = backend.model.decoder.forward

    def counted(slots: Any, starts: Any, inputs: Any, *sampling: Any) -> Any:
        filled.append(sum(len(block) for blocks in inputs for block in blocks))
        return forward(slots, starts, inputs, *sampling)

    monkeypatch.setattr(backend.model.decoder, "forward", counted)
    return filled


def test_a_live_utterance_takes_its_cache_into_a_long_slot(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, alone = Spied(trained, 3, short=SlotClass(2, 140)), Spied(trained, 1)
    filled, wanted = filled_by(backend, monkeypatch), filled_by(alone, monkeypatch)
    allocator, audio = backend.runner.slot_allocator, clips()["talk"].audio
    cached = allocator.cached("u")
    classes: list[int] = []
    for second in range(1, 13):
        step = Recognize(audio[: second * SAMPLE_RATE], utterance="u", final=False)
        assert tokens_of(backend, [step]) == tokens_of(alone, [step])
        assert cached.slot is not None
        classes.append(allocator.class_of[cached.slot])
    assert classes == [0] * 6 + [1] * 6
    assert backend.runner.placement.moves == 1
    assert filled == wanted, "nothing is computed again"
    others = [Recognize(audio[n : n + 12 * SAMPLE_RATE]) for n in range(2)]
    outcomes_of(backend, others, 1)
    assert cached.slot is None, "the only long slot is that of an idle utterance until a recording needs it"
    last = Recognize(audio[: 13 * SAMPLE_RATE], utterance="u")
    assert tokens_of(backend, [last]) == tokens_of(alone, [Recognize(last.audio)])
    assert allocator.unused == 3


def test_recordings_leave_a_long_slot_to_live_work(trained: Any) -> None:
    backend = Spied(trained, 8, short=SlotClass(4, 100))
    talk = clips()["talk"].audio
    for n in range(6):
        backend.admit(Recognize(talk[1000 * n : 1000 * n + 380_000]))
    for _ in range(12):
        backend.step()
    assert backend.slot_usage().classes[1].active == 3
    live = Recognize(talk[: 12 * SAMPLE_RATE], utterance="u", final=False)
    backend.admit(live)
    for _ in range(3):
        backend.step()
    assert backend.has_slot(live)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (BackendOptions(device="cuda"), (256, 32)),
        (BackendOptions(device="cuda", slots=4), (4, 1)),
        (BackendOptions(device="cuda", slots=64, long_slots=99), (64, 64)),
        (BackendOptions(device="cpu"), (8, 8)),
        (BackendOptions(device="cpu", slots=16, long_slots=2), (16, 2)),
    ],
)
def test_how_many_slots_the_settings_ask_for(options: BackendOptions, counts: tuple[int, int]) -> None:
    assert create(options)._engine.slot_counts == counts


def test_bytes_of_the_cache_at_the_size_of_the_0_6b() -> None:
    """What is planned is what is allocated, in bf16."""
    config = Qwen3Config(**TEXT)
    planned = [bytes_per_slot(config, length, 2) for length in (SHORT_LENGTH, MAX_LENGTH)]
    assert (MAX_LENGTH, planned) == (2320, [73_515_008, 266_190_848])
    classes = SlotCounts(3, 1).classes(MAX_LENGTH)
    assert classes == [SlotClass(2, SHORT_LENGTH), SlotClass(1, MAX_LENGTH)]
    for (slots, length), size in zip(classes, planned, strict=True):
        pool = SlotPool(config, SlotClass(slots, length), torch.bfloat16, torch.device("meta"))
        pool.reserve(length)
        assert sum(tensor.nbytes for tensor in (*pool.keys, *pool.values)) == slots * size
    assert SlotCounts(8, 8).classes(MAX_LENGTH) == [SlotClass(8, MAX_LENGTH)]
    assert SlotCounts(8, 2).classes(SHORT_LENGTH) == [SlotClass(8, SHORT_LENGTH)]


def test_a_live_utterance_takes_a_free_long_slot_before_another_one_loses_its_own(trained: Any) -> None:
    backend = Spied(trained, 4, short=SlotClass(2, 200))
    audio, allocator = clips()["talk"].audio, backend.runner.slot_allocator
    for second in (1, 2, 3):
        for stream in "abcd":
            outcomes_of(backend, [Recognize(audio[: second * SAMPLE_RATE], utterance=stream, final=False)])
    assert sorted(allocator.cached(stream).slot or 0 for stream in "abcd") == [0, 1, 2, 3]
    outcomes_of(backend, [Recognize(audio[: 2 * SAMPLE_RATE])])
    assert sum(allocator.cached(stream).slot is None for stream in "abcd") == 1, "a recording needs one"
    assert backend.slot_usage().classes == (SlotUse("short", 0, 1, 2), SlotUse("long", 0, 2, 2))


def test_where_memory_for_a_move_runs_out_only_those_fail_that_move(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steno.backends.qwen.batching.slot_placement.EXPECTED_TOKENS_PER_S", 0)
    backend = Spied(trained, 6, short=SlotClass(4, 118))
    talk, sentence = clips()["talk"].audio, clips()["english-0"]

    def scarce(_: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(backend.model.decoder.cache.pools[1], "reserve", scarce)
    outgrowing = Recognize(talk[: 6 * SAMPLE_RATE], utterance="u", final=False)
    works = [Recognize(sentence.audio), outgrowing, Recognize(sentence.audio.copy())]
    outcomes = outcomes_of(backend, works)
    assert isinstance(outcomes.pop(outgrowing), BackendError)
    assert [outcome.text for outcome in outcomes.values()] == [sentence.text] * 2
    backend.forget("u")
    assert backend.runner.slot_allocator.unused == 6


def test_a_loaded_backend_has_both_classes_and_an_unloaded_one_none() -> None:
    backend = create(BackendOptions(model_id=str(ASR), device="cpu", dtype="float32", slots=5, long_slots=2))
    assert backend.slot_usage() == SlotUsage()
    backend.load(lambda *_: None)
    assert backend.slot_usage().classes == (SlotUse("short", 0, 0, 3), SlotUse("long", 0, 0, 2))
    works = [
        Recognize(clips()["english-0"].audio, utterance="u", final=False),
        Recognize(clips()["talk"].audio[: 12 * SAMPLE_RATE], context="word " * 600),
    ]
    for work in works:
        backend.admit(work)
    for _ in range(3):
        backend.step()
    assert [use.active for use in backend.slot_usage().classes] == [1, 1], "a long context needs a long slot"
    while backend._requests:
        backend.step()
    assert backend.slot_usage().classes == (SlotUse("short", 0, 1, 3), SlotUse("long", 0, 0, 2))
    backend.unload()
    assert backend.slot_usage() == SlotUsage()
