"""Token for token what transformers' own `generate` gives, whoever else is in the batch."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.model.model import AsrModel, warm_up_audio
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.backends.qwen3_asr import work_limits
from steno.backends.qwen3_asr.frontend import Frontend
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.backends.qwen3_asr.work_limits import token_limit
from steno.backends.repetition import loop_start
from steno.types import SAMPLE_RATE
from stepping import Spied, tokens_of

SECONDS = (0.002, 0.3, 1.0, 3.3, 7.99, 8.0, 8.005, 12.7, 16.0, 29.9)
WISHES = ((None, ""), ("en", "names: Cate <|im_end|>, Marc"), ("de", ""))


@pytest.fixture(autouse=True)
def _short_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights know no end."""
    monkeypatch.setattr(work_limits, "TOKENS_PER_S", 2)


@pytest.fixture(scope="module")
def works() -> list[Recognize]:
    rng = random.Random(3)
    made = []
    for seconds in SECONDS:
        for language, context in WISHES:
            audio = warm_up_audio(seconds) * np.float32(rng.uniform(0.1, 1))
            made.append(Recognize(audio, language, context))
    rng.shuffle(made)
    return made


def expected(loaded: Any, model: AsrModel, work: Recognize) -> list[int]:
    """By transformers alone, one clip at a time."""
    inputs = loaded.processor.apply_transcription_request(
        work.audio,
        language=LANGUAGES[work.language] if work.language else None,
        prompt=model.prompt_builder.clean(work.context) or None,
    )
    limit = token_limit(len(work.audio) / SAMPLE_RATE)
    output = loaded.model.generate(**inputs, max_new_tokens=limit, do_sample=False)
    tokens = output[0, inputs["input_ids"].shape[1] :].tolist()
    return [token for token in tokens if token not in model.stop_token_ids]


def cut(tokens: list[int]) -> list[int]:
    """Without the repetition loop that random weights may end in."""
    loops = (loop_start(tokens[:end]) for end in range(len(tokens) + 1))
    return tokens[: next((start for start in loops if start is not None), len(tokens))]


@pytest.mark.parametrize("slots", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_tokens_are_those_of_generate_whoever_else_is_decoded(loud: Any, works: list[Recognize], slots: int) -> None:
    backend = Spied(loud, slots)
    some = works if slots > 1 else works[:8]
    read = dict(zip(some, tokens_of(backend, some), strict=True))
    wanted = {work: expected(loud, backend.model, work) for work in some}
    assert len({tuple(tokens) for tokens in wanted.values()}) > len(some) / 2, "one says what the next says"
    for work in some:
        assert read[work] == cut(wanted[work]), f"{len(work.audio) / SAMPLE_RATE} s, {work.language}"


def encoded(model: AsrModel, clips: list[Any]) -> list[torch.Tensor]:
    sounds = [model.encoder.new_audio_state() for _ in clips]
    for sound, audio in zip(sounds, clips, strict=True):
        sound.extend(audio)
    model.encode(sounds)
    return [torch.cat(sound.embeddings) for sound in sounds]


def features(model: AsrModel, audio: Any) -> torch.Tensor:
    sound = model.encoder.new_audio_state()
    sound.extend(audio)
    return sound.features(0, sound.frames)


def test_embeddings_are_those_of_transformers(loud: Any, works: list[Recognize]) -> None:
    model = AsrModel(loud, [SlotClass(1, 2000)])
    together = encoded(model, [work.audio for work in works])
    for work, found in zip(works, together, strict=True):
        inputs = loud.processor.apply_transcription_request(work.audio)
        with torch.inference_mode():
            wanted = loud.model.model.get_audio_features(
                inputs["input_features"], inputs["input_features_mask"]
            ).pooler_output
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() < 1e-4 * max(1.0, float(wanted.abs().max()))


def test_prompts_are_those_of_the_processor(loud: Any, works: list[Recognize]) -> None:
    model = AsrModel(loud, [SlotClass(1, 2000)])
    pad = loud.model.config.audio_token_id
    for work, audio in zip(works, encoded(model, [work.audio for work in works]), strict=True):
        context = model.prompt_builder.clean(work.context)
        before, after = model.prompt_builder.around(context, work.language)
        inputs = loud.processor.apply_transcription_request(
            work.audio, language=LANGUAGES[work.language] if work.language else None, prompt=context or None
        )
        assert [*before, *[pad] * len(audio), *after] == inputs["input_ids"][0].tolist()


def test_features_do_not_depend_on_what_another_thread_loads(loud: Any) -> None:
    """transformers changes torch's default dtype while it reads a checkpoint."""
    audio = warm_up_audio(3.0)
    model = AsrModel(loud, [SlotClass(1, 2000)])
    alone = features(model, audio)
    torch.set_default_dtype(torch.bfloat16)
    try:
        meanwhile = features(model, audio)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(alone, meanwhile)


def test_features_are_those_of_the_checkpoint_s_own_extractor(loud: Any) -> None:
    model = AsrModel(loud, [SlotClass(1, 2000)])
    for seconds in SECONDS:
        own = loud.processor.feature_extractor(
            warm_up_audio(seconds), sampling_rate=SAMPLE_RATE, padding="longest", return_attention_mask=True
        )
        found = features(model, warm_up_audio(seconds))
        assert found.shape[1] == int(own["attention_mask"].sum())
        assert torch.allclose(found, own["input_features"][0, :, : found.shape[1]], atol=1e-5)


def test_clips_that_share_a_batch_have_the_features_of_each_alone(trained: Any) -> None:
    """As on a GPU, in batches that are bounded; with clips of any length, and from any frame on."""
    alone = Frontend(trained.processor)
    rng = np.random.default_rng(3)
    lengths = (100, 8_000, 16_000, 40_123, 90_000, 480_000)
    clips = [(np.asarray(rng.standard_normal(length) * 0.1, np.float32), 0) for length in lengths]
    clips += [(clips[4][0], 200), (clips[5][0], 2_700), (clips[2][0], alone.frames(16_000))]
    for max_samples in (2**23, 200_000):
        batched = Frontend(trained.processor)
        batched.max_samples = max_samples
        for clip, found in zip(clips, batched.log_mel(clips), strict=True):
            (expected,) = alone.log_mel([clip])
            assert found.log_mel.shape == expected.log_mel.shape
            assert torch.allclose(found.log_mel, expected.log_mel, atol=1e-5)
            assert np.allclose(found.lowest, expected.log_mel.amin(0), atol=1e-5)
            assert np.allclose(found.highest, expected.log_mel.amax(0), atol=1e-5)
