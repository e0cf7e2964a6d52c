"""Writes a native checkpoint in the layout of Qwen's own repositories: what the `qwen-asr` package (0.0.6) loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

AUDIO_NAMES = (
    "num_mel_bins", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "d_model", "activation_function",
    "scale_embedding", "n_window", "n_window_infer", "output_dim", "downsample_hidden_size", "initializer_range",
)  # fmt: skip
TEXT_NAMES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps", "attention_bias", "tie_word_embeddings",
    "initializer_range",
)  # fmt: skip
SPECIAL = {"audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>"}

TEMPLATE = (
    "{% set ns = namespace(system='', audio='') %}{% for m in messages %}"
    "{% if m.content is string %}{% if m.role == 'system' %}{% set ns.system = ns.system + m.content %}{% endif %}"
    "{% else %}{% for c in m.content %}"
    "{% if m.role == 'system' and c.type == 'text' %}{% set ns.system = ns.system + c.text %}{% endif %}"
    "{% if c.type == 'audio' %}{% set ns.audio = ns.audio + '<|audio_start|><|audio_pad|><|audio_end|>' %}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
    "{{ '<|im_start|>system\\n' + ns.system + '<|im_end|>\\n<|im_start|>user\\n' + ns.audio + '<|im_end|>\\n' }}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""Without the assistant's turn, as Qwen's own."""


def write_original(native: Path, folder: Path) -> None:
    """Write the native checkpoint in `native` to `folder`, which is made."""
    folder.mkdir(parents=True)
    config = json.loads((native / "config.json").read_text())
    _write(folder / "config.json", original_config(config))
    weights = load_file(native / "model.safetensors")
    save_file({original_name(name): value for name, value in weights.items()}, folder / "model.safetensors")
    _write_tokenizer(native, folder)
    _write(folder / "chat_template.json", {"chat_template": TEMPLATE})
    _write(folder / "preprocessor_config.json", _preprocessor())
    ends = {"eos_token_id": config["eos_token_id"], "pad_token_id": config["pad_token_id"]}
    _write(folder / "generation_config.json", {**ends, "do_sample": False})


def original_name(name: str) -> str:
    """Of a weight."""
    for native, original in (
        ("model.language_model.", "thinker.model."),
        ("model.multi_modal_projector.linear_1.", "thinker.audio_tower.proj1."),
        ("model.multi_modal_projector.linear_2.", "thinker.audio_tower.proj2."),
        ("model.audio_tower.", "thinker.audio_tower."),
        ("lm_head.", "thinker.lm_head."),
        ("score.", "thinker.lm_head."),
    ):
        if name.startswith(native):
            return original + name.removeprefix(native)
    raise ValueError(name)


def original_config(config: dict[str, Any]) -> dict[str, Any]:
    audio, text = config["audio_config"], config["text_config"]
    third = text["head_dim"] // 2 // 3
    sections = [text["head_dim"] // 2 - 2 * third, third, third]
    thinker: dict[str, Any] = {
        "model_type": "qwen3_asr_thinker",
        "audio_config": {"model_type": "qwen3_asr_audio_encoder", **{name: audio[name] for name in AUDIO_NAMES}},
        "text_config": {
            "model_type": "qwen3_asr_text",
            **{name: text[name] for name in TEXT_NAMES},
            "rope_theta": text["rope_parameters"]["rope_theta"],
            "rope_scaling": {
                "mrope_interleaved": True, "interleaved": True, "mrope_section": sections,
                "rope_type": "default", "type": "default",
            },
        },
        "audio_token_id": config["audio_token_id"],
        "dtype": config["dtype"],
        "pad_token_id": config["pad_token_id"],
    }  # fmt: skip
    whole = {
        "architectures": ["Qwen3ASRForConditionalGeneration"],
        "model_type": "qwen3_asr",
        "support_languages": ["English", "German"],
        "thinker_config": thinker,
    }
    if "Qwen3ASRForTokenClassification" in config["architectures"]:
        thinker |= {"model_type": "qwen3_forced_aligner", "classify_num": len(config["id2label"])}
        whole |= {"timestamp_token_id": config["timestamp_token_id"], "timestamp_segment_time": 80}
    return whole


def _write_tokenizer(native: Path, folder: Path) -> None:
    """In the older form: vocabulary and merges in files of their own, added tokens in the configuration."""
    tokenizer = json.loads((native / "tokenizer.json").read_text())
    _write(folder / "vocab.json", tokenizer["model"]["vocab"])
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in tokenizer["model"]["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    given = json.loads((native / "tokenizer_config.json").read_text())
    added = {str(one["id"]): {k: v for k, v in one.items() if k != "id"} for one in tokenizer["added_tokens"]}
    settings = {
        "added_tokens_decoder": added,
        "additional_special_tokens": [one["content"] for one in added.values() if one["special"]],
        **SPECIAL,
        "extra_special_tokens": SPECIAL,
        **{name: given[name] for name in ("bos_token", "eos_token", "pad_token", "unk_token", "model_max_length")},
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "errors": "replace",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen3ASRProcessor",
    }
    _write(folder / "tokenizer_config.json", settings)


def _preprocessor() -> dict[str, Any]:
    return {
        "feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "Qwen3ASRProcessor",
        "chunk_length": 30, "dither": 0.0, "feature_size": 128, "hop_length": 160, "n_fft": 400, "n_samples": 480_000,
        "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True,
        "sampling_rate": 16_000,
    }  # fmt: skip


def _write(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
