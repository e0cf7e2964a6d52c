"""Token for token what transformers' own `generate` gives, whoever else is in the batch."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen import backend as qwen
from steno.backends.qwen.backend import QwenBackend, token_limit
from steno.backends.qwen.loader import load_recogniser
from steno.backends.qwen.machine import Machine, like_speech
from steno.backends.qwen.options import LoadOptions
from steno.backends.qwen.prompt import LANGUAGES
from steno.types import SAMPLE_RATE

SECONDS = (0.002, 0.3, 1.0, 3.3, 7.99, 8.0, 8.005, 12.7, 16.0, 29.9)
WISHES = ((None, ""), ("en", "names: Cate <|im_end|>, Marc"), ("de", ""))


class Spied(QwenBackend):
    """Keeps the tokens of what it has read, and hears nothing again."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read: dict[Recognize, list[int]] = {}

    def _read(self, row: Any) -> Any:
        self.read[row.work] = list(row.tokens)
        row.context = ""
        return super()._read(row)


@pytest.fixture(autouse=True)
def _short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights know no end."""
    monkeypatch.setattr(qwen, "TOKENS_PER_S", 2)


@pytest.fixture(scope="module")
def options(checkpoints: Path) -> LoadOptions:
    return LoadOptions(str(checkpoints / "recogniser"), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def loud(options: LoadOptions) -> Any:
    """A loaded checkpoint with weights so large that one token differs from the next."""
    loaded = load_recogniser(options, lambda *_: None)
    for parameter in loaded.model.parameters():
        if parameter.dim() > 1:
            parameter.data *= 4
    return loaded


@pytest.fixture(scope="module")
def works() -> list[Recognize]:
    rng = random.Random(3)
    made = []
    for seconds in SECONDS:
        for language, context in WISHES:
            audio = like_speech(seconds) * np.float32(rng.uniform(0.1, 1))
            made.append(Recognize(audio, language, context))
    rng.shuffle(made)
    return made


def expected(loaded: Any, machine: Machine, work: Recognize) -> list[int]:
    """By transformers alone, one clip at a time."""
    inputs = loaded.processor.apply_transcription_request(
        work.audio,
        language=LANGUAGES[work.language] if work.language else None,
        prompt=machine.prompter.clean(work.context) or None,
    )
    limit = token_limit(len(work.audio) / SAMPLE_RATE)
    output = loaded.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    tokens = output[0, inputs["input_ids"].shape[1] :].tolist()
    return [token for token in tokens if token not in machine.ends]


def run(backend: Spied, works: list[Recognize], at_once: int) -> dict[Recognize, list[int]]:
    todo = list(works)
    running = done = 0
    while done < len(works):
        while todo and running < at_once:
            backend.admit(todo.pop(0))
            running += 1
        finished = len(backend.step())
        running -= finished
        done += finished
    return backend.read


@pytest.mark.parametrize("slots", [1, 6])
def test_tokens_are_those_of_generate_whoever_else_is_decoded(
    loud: Any, options: LoadOptions, works: list[Recognize], slots: int
) -> None:
    backend = Spied(options, slots)
    machine = backend._machine = Machine(loud, slots, 2000)
    some = works if slots > 1 else works[:8]
    read = run(backend, some, slots)
    wanted = {work: expected(loud, machine, work) for work in some}
    assert len({tuple(tokens) for tokens in wanted.values()}) > len(some) / 2, "one says what the next says"
    for work in some:
        assert read[work] == wanted[work], f"{len(work.audio) / SAMPLE_RATE} s, {work.language}"


def test_embeddings_are_those_of_transformers(loud: Any, works: list[Recognize]) -> None:
    machine = Machine(loud, 1, 2000)
    together = machine.encode([work.audio for work in works])
    for work, found in zip(works, together, strict=True):
        inputs = loud.processor.apply_transcription_request(work.audio)
        with torch.inference_mode():
            wanted = loud.model.model.get_audio_features(
                inputs["input_features"], inputs["input_features_mask"]
            ).pooler_output
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 1e-4 * max(1.0, float(wanted.abs().max()))


def test_prompts_are_those_of_the_processor(loud: Any, works: list[Recognize]) -> None:
    machine = Machine(loud, 1, 2000)
    pad = loud.model.config.audio_token_id
    for work, audio in zip(works, machine.encode([work.audio for work in works]), strict=True):
        context = machine.prompter.clean(work.context)
        before, after = machine.prompter.around(context, work.language)
        inputs = loud.processor.apply_transcription_request(
            work.audio, language=LANGUAGES[work.language] if work.language else None, prompt=context or None
        )
        assert [*before, *[pad] * len(audio), *after] == inputs["input_ids"][0].tolist()


def test_features_do_not_depend_on_what_another_thread_loads(loud: Any) -> None:
    """transformers changes torch's default dtype while it reads a checkpoint."""
    audio = like_speech(3.0)
    machine = Machine(loud, 1, 2000)
    alone = machine._frontend.mel(audio).features
    torch.set_default_dtype(torch.bfloat16)
    try:
        meanwhile = machine._frontend.mel(audio).features
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(alone, meanwhile)


def test_features_are_those_of_the_checkpoint_s_own_extractor(loud: Any) -> None:
    machine = Machine(loud, 1, 2000)
    for seconds in SECONDS:
        own = loud.processor.feature_extractor(
            like_speech(seconds), sampling_rate=SAMPLE_RATE, padding="longest", return_attention_mask=True
        )
        mel = machine._frontend.mel(like_speech(seconds))
        assert mel.frames == int(own["attention_mask"].sum())
        assert torch.allclose(mel.features, own["input_features"][0], atol=1e-5)
