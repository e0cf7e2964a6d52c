"""Qwen's own layout against the native one: the same model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the Qwen backend needs torch: pip install 'steno[qwen]'")
pytest.importorskip("transformers", reason="the Qwen backend needs transformers: pip install 'steno[qwen]'")

import torch

from steno.backends.qwen.checkpoint import legacy_layout
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint, load_aligner, load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.errors import ModelLoadError
from tiny.original_layout import original_name

AUDIO = (0.1 * np.random.default_rng(1).standard_normal(9 * 16_000)).astype(np.float32)


def silent(_: float, __: str) -> None: ...


def recogniser(folder: Path) -> LoadedCheckpoint:
    return load_recogniser(LoadOptions(str(folder), device="cpu"), silent)


def aligner(folder: Path) -> LoadedCheckpoint:
    return load_aligner(LoadOptions(str(folder), device="cpu"), silent)


def inputs(loaded: LoadedCheckpoint, language: str | None, prompt: str | None) -> dict[str, torch.Tensor]:
    request = loaded.processor.apply_transcription_request(AUDIO, language=language, prompt=prompt)
    return dict(request)


@pytest.mark.parametrize("language", [None, "en"])
@pytest.mark.parametrize("prompt", [None, "cold weather"])
def test_there_and_back_the_same_tokens_come(checkpoints: Path, language: str | None, prompt: str | None) -> None:
    native, converted = recogniser(checkpoints / "recogniser"), recogniser(checkpoints / "recogniser-original")
    asked, again = inputs(native, language, prompt), inputs(converted, language, prompt)
    assert asked.keys() == again.keys()
    assert all(torch.equal(asked[name], again[name]) for name in asked)
    said = native.model.generate(**asked, max_new_tokens=24)
    assert torch.equal(said, converted.model.generate(**again, max_new_tokens=24))
    assert said.shape[1] > asked["input_ids"].shape[1]


def test_the_recogniser_s_configuration_is_the_same(checkpoints: Path) -> None:
    native, converted = recogniser(checkpoints / "recogniser"), recogniser(checkpoints / "recogniser-original")
    ours, theirs = converted.model.config.to_dict(), native.model.config.to_dict()
    for part in (ours, theirs):
        for name in ("architectures", "_name_or_path", "dtype", "transformers_version"):
            part.pop(name, None)
        del part["timestamp_token_id"]  # the aligner's: a recogniser's original configuration has none
    assert ours == theirs
    assert converted.model.generation_config.eos_token_id == native.model.generation_config.eos_token_id


def test_there_and_back_the_aligner_finds_the_same_times(checkpoints: Path) -> None:
    native, converted = aligner(checkpoints / "aligner"), aligner(checkpoints / "aligner-original")
    logits = []
    for loaded in (native, converted):
        asked, words = loaded.processor.prepare_forced_aligner_inputs(AUDIO, "hello cold world", "English")
        assert words == [["hello", "cold", "world"]]
        with torch.inference_mode():
            logits.append(loaded.model(**asked).logits)
    assert torch.equal(*logits)
    assert converted.processor.timestamp_segment_time == native.processor.timestamp_segment_time == 80
    assert converted.model.config.timestamp_token_id == native.model.config.timestamp_token_id


def test_every_weight_has_its_place(checkpoints: Path) -> None:
    import re

    for load, kind in ((recogniser, "recogniser"), (aligner, "aligner")):
        names = load(checkpoints / kind).model.state_dict().keys()
        for name in names:
            renamed = original_name(name)
            for pattern, put in legacy_layout.key_mapping(kind).items():
                renamed = re.sub(pattern, put, renamed)
            assert renamed == name


def edited(folder: Path, tmp_path: Path, **changes: object) -> Path:
    """A copy of an original folder whose text configuration is changed; None takes a field out."""
    copy = shutil.copytree(folder, tmp_path / "edited")
    config = json.loads((copy / "config.json").read_text())
    text = config["thinker_config"]["text_config"]
    for name, value in changes.items():
        text[name] = value
        if value is None:
            del text[name]
    (copy / "config.json").write_text(json.dumps(config))
    return copy


def test_what_is_left_out_has_qwen_s_defaults_and_not_those_of_transformers(checkpoints: Path, tmp_path: Path) -> None:
    folder = edited(checkpoints / "recogniser-original", tmp_path, rope_theta=None, intermediate_size=None)
    config = legacy_layout.read_config(folder, "it")
    assert config.text_config.rope_parameters["rope_theta"] == 5_000_000.0
    assert config.text_config.intermediate_size == 22016


def test_rope_that_is_scaled_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    folder = edited(checkpoints / "recogniser-original", tmp_path, rope_scaling={"rope_type": "yarn", "factor": 4})
    with pytest.raises(ModelLoadError, match="scales its positions by 'yarn'"):
        recogniser(folder)


def test_a_folder_without_a_part_of_its_configuration_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints / "recogniser-original", tmp_path / "copy")
    (folder / "config.json").write_text('{"model_type": "qwen3_asr", "thinker_config": {"audio_config": {}}}')
    with pytest.raises(ModelLoadError, match=r"config\.json has no thinker_config\.text_config"):
        recogniser(folder)


def test_other_audio_features_are_refused(checkpoints: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints / "recogniser-original", tmp_path / "copy")
    (folder / "preprocessor_config.json").write_text('{"feature_size": 80}')
    with pytest.raises(ModelLoadError, match="has feature_size = 80"):
        recogniser(folder)


def test_a_tokenizer_that_does_not_tell_its_audio_tokens_is_told_them(checkpoints: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoints / "recogniser-original", tmp_path / "copy")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for name in (*legacy_layout.SPECIAL_TOKENS, "extra_special_tokens"):
        del settings[name]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    told, native = recogniser(folder).processor, recogniser(checkpoints / "recogniser").processor
    assert told.audio_token_id == native.audio_token_id
    assert (
        told.tokenizer("<|im_start|>hello <asr_text>")["input_ids"]
        == (native.tokenizer("<|im_start|>hello <asr_text>")["input_ids"])
    )
