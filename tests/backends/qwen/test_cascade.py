"""Two models: a small one drafts, or tells the partials; what counts is what the large one says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loguru import logger

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.checkpoint.model_source import LARGE_MODEL, SMALL_MODEL
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions, checkpoints_of
from steno.backends.qwen.factory import create
from steno.backends.registry import BackendOptions
from steno.streaming.hypothesis import LocalAgreement
from steno.types import SAMPLE_RATE, Hypothesis
from stepping import Spied, outcomes_of, tokens_of
from tiny.clips import ASR, DRAFT, clips


@pytest.fixture(scope="module")
def small() -> Any:
    return load_recogniser(LoadOptions(str(DRAFT), device="cpu", dtype="float32"), lambda *_: None)


def said() -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [
        np.asarray(clip.audio + level * noise.standard_normal(len(clip.audio)), np.float32)
        for clip in clips().values()
        if "talk" not in clip.name
        for level in (0.0, 0.02)
    ]


def test_a_draft_of_the_small_model_changes_nothing_but_the_time(trained: Any, small: Any) -> None:
    works = [Recognize(audio) for audio in said()]
    alone, drafted = Spied(trained, 6), Spied(trained, 6, small=small)
    assert drafted.path == "speculative"
    assert tokens_of(drafted, works) == tokens_of(alone, works)
    drafts = drafted.drafts()
    assert drafts.accepted > 0.7 * drafts.proposed
    assert drafts.proposed > 10 * len(works)
    assert alone.drafts().proposed == 0


def test_live_steps_are_drafted_too(trained: Any, small: Any) -> None:
    clip = clips()["english-0"]
    heard = []
    for backend in (Spied(trained, 2), Spied(trained, 2, small=small)):
        ends = [*range(12_000, len(clip.audio), 8000), len(clip.audio)]
        works = [Recognize(clip.audio[:end], utterance="u", final=end == ends[-1]) for end in ends]
        heard.append([tokens_of(backend, [work])[0] for work in works])
        assert all(runner.slot_allocator.unused == 2 for runner in backend.loaded().runners)
    assert heard[0] == heard[1]


def test_where_the_small_model_fails_the_large_one_goes_on(
    trained: Any, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Spied(trained, 2, small=small)
    fast = backend.loaded().fast
    assert fast is not None

    def fails(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(fast.model, "encode", fails)
    work = Recognize(clips()["english-0"].audio)
    (outcome,) = outcomes_of(backend, [work]).values()
    assert outcome.text == clips()["english-0"].text
    assert all(runner.slot_allocator.unused == 2 for runner in backend.loaded().runners)


def test_partials_of_two_models_are_the_small_one_s_and_settle_nothing(trained: Any, small: Any) -> None:
    clip = clips()["english-2"]
    backend, alone = Spied(trained, 2, small=small, dual=True), Spied(small, 2)
    assert backend.path == "dual"
    agreement = LocalAgreement(1.0)
    ends = [*range(8000, len(clip.audio), 8000), len(clip.audio)]
    settled = 0
    for end in ends:
        work = Recognize(clip.audio[:end], utterance="u", final=end == ends[-1], stable=agreement.stable)
        (heard,) = outcomes_of(backend, [work]).values()
        if work.final:
            break
        before = agreement.stable
        reading = agreement.update(heard, end / SAMPLE_RATE)
        if heard.settles:
            settled += 1
        else:
            assert agreement.stable == before
            assert reading.text.startswith(before)
        if not heard.settles and not before:
            assert heard.text == outcomes_of(alone, [Recognize(clip.audio[:end])]).popitem()[1].text
    assert 0 < settled <= len(clip.audio) / SAMPLE_RATE / 1.5
    assert heard.settles
    assert heard.text == clip.text
    assert all(runner.slot_allocator.unused == 2 for runner in backend.loaded().runners)


def test_the_end_is_the_large_model_s_and_starts_from_the_last_partial(trained: Any, small: Any) -> None:
    clip = clips()["english-0"]
    backend, alone = Spied(trained, 2, small=small, dual=True), Spied(trained, 2)
    almost = Recognize(clip.audio[:-4000], utterance="u", final=False)
    last = Recognize(clip.audio, utterance="u")
    outcomes_of(backend, [almost])
    before = backend.drafts().proposed
    assert tokens_of(backend, [last]) == tokens_of(alone, [Recognize(clip.audio)])
    assert backend.drafts().proposed > before


def test_uploads_are_the_large_model_s_alone(trained: Any, small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Spied(trained, 2, small=small, dual=True)
    fast = backend.loaded().fast
    assert fast is not None
    monkeypatch.setattr(fast, "add_request", None)
    works = [Recognize(audio) for audio in said()]
    assert tokens_of(backend, works) == tokens_of(Spied(trained, 2), works)
    assert backend.drafts().proposed == 0


def test_thousands_of_lives_with_two_models_leave_nothing(trained: Any, small: Any) -> None:
    rng = random.Random(0)
    backend = Spied(trained, 3, small=small, dual=True)
    base = clips()["english-1"].audio
    running: list[Recognize] = []
    ends: dict[str, int] = {}
    for _ in range(500):
        choice = rng.randrange(8)
        if choice < 3 and len(running) < backend.slots:
            key = f"u{rng.randrange(5)}"
            ends[key] = ends.get(key, 0) + rng.randrange(3000, 16_000)
            work = Recognize(np.resize(base, ends[key]), utterance=key, final=ends[key] > 50_000)
            if work.final:
                del ends[key]
            running.append(work)
            backend.admit(work)
        elif choice == 3 and running:
            backend.release(running.pop(rng.randrange(len(running))))
        else:
            for finished in backend.step():
                running.remove(finished.work)  # type: ignore[arg-type]
    while running:
        for finished in backend.step():
            running.remove(finished.work)  # type: ignore[arg-type]
    for n in range(5):
        backend.forget(f"u{n}")
    assert all(runner.slot_allocator.unused == 3 and not runner.requests for runner in backend.loaded().runners)


@pytest.mark.parametrize(("missing", "why"), [("nowhere", "could not be loaded"), ("other", "another vocabulary")])
def test_without_the_small_model_the_path_is_standard_and_says_so(
    checkpoints: Path, tmp_path: Path, missing: str, why: str
) -> None:
    where = {"nowhere": tmp_path / "nothing", "other": checkpoints / "recogniser"}[missing]
    fast = LoadOptions(str(where), device="cpu", dtype="float32")
    main = LoadOptions(str(ASR), device="cpu", dtype="float32")
    backend = QwenBackend(main, EngineOptions(2, fast=fast, path="speculative"))
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING", format="{message}")
    try:
        backend.load(lambda *_: None)
    finally:
        logger.remove(sink)
    assert backend.path == "standard"
    assert any(why in line for line in lines), lines
    clip = clips()["english-0"]
    outcome = outcomes_of(backend, [Recognize(clip.audio)]).popitem()[1]
    assert isinstance(outcome, Hypothesis)
    assert outcome.text == clip.text
    backend.unload()


@pytest.mark.parametrize(
    ("chosen", "path", "large", "fast"),
    [
        ({}, "standard", SMALL_MODEL, None),
        ({"speculative": True}, "speculative", LARGE_MODEL, SMALL_MODEL),
        ({"dual": True, "speculative": True}, "dual", LARGE_MODEL, SMALL_MODEL),
        ({"dual": True, "model_id": "me/large", "fast_model_id": "me/small"}, "dual", "me/large", "me/small"),
    ],
)
def test_what_is_configured(chosen: dict[str, Any], path: str, large: str, fast: str | None) -> None:
    options = BackendOptions(**chosen)
    backend = create(options)
    assert (backend.path, backend.model_id) == (path, large)
    small = checkpoints_of(options).fast
    assert (small.model_id if small else None) == fast
