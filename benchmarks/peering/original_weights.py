"""Writes a native checkpoint in the layout of Qwen's own repositories, for peers that read only that one.

The inverse of `steno.backends.qwen.checkpoint.legacy_layout`. The vocabulary is not a real one: every token id has a
piece of text of its own, so that whoever reads a peer's output sees each token come. Peers' programs import this
module without torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NAMES = (
    ("model.language_model.", "thinker.model."),
    ("model.multi_modal_projector.linear_1.", "thinker.audio_tower.proj1."),
    ("model.multi_modal_projector.linear_2.", "thinker.audio_tower.proj2."),
    ("model.audio_tower.", "thinker.audio_tower."),
    ("lm_head.", "thinker.lm_head."),
)
AUDIO_END, AUDIO_PAD, AUDIO_START, ASR_TEXT = 151670, 151676, 151669, 151704
NAMED = {
    151643: "<|endoftext|>",
    151644: "<|im_start|>",
    151645: "<|im_end|>",
    AUDIO_START: "<|audio_start|>",
    AUDIO_END: "<|audio_end|>",
    AUDIO_PAD: "<|audio_pad|>",
    ASR_TEXT: "<asr_text>",
}
ADDED = {token: NAMED.get(token, f"<|t{token}|>") for token in range(min(NAMED), ASR_TEXT + 1)}
"""Qwen3-ASR's added tokens, which peers have built in, with those between them."""
PHRASE = ("language", "ĠEnglish")
"""The forced language in front of the text."""
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
"""Qwen's own chat template."""
FEATURES = {
    "feature_extractor_type": "WhisperFeatureExtractor", "processor_class": "Qwen3ASRProcessor", "chunk_length": 30,
    "dither": 0.0, "feature_size": 128, "hop_length": 160, "n_fft": 400, "n_samples": 480_000, "nb_max_frames": 3000,
    "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 16_000,
}  # fmt: skip
PROMPT_WORDS = {8948: "system", 872: "user", 77091: "assistant", 198: "Ċ"}


def write_original(native: Path, folder: Path) -> Path:
    """Write the checkpoint in `native` to `folder`, which is made; returns it.

    Raises:
        ValueError: its vocabulary lacks tokens that peers have built in.
    """
    import numpy as np
    from safetensors.torch import load_file, save_file
    from transformers import Qwen3ASRFeatureExtractor

    config = json.loads((native / "config.json").read_text(encoding="utf-8"))
    if (size := int(config["text_config"]["vocab_size"])) <= ASR_TEXT:
        raise ValueError(f"{native} has {size} tokens: peers read Qwen3-ASR's vocabulary alone")
    folder.mkdir(parents=True)
    _write(folder / "config.json", _config(config))
    weights = {_name(name): value for name, value in load_file(native / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokens = vocabulary(size)
    _write(folder / "vocab.json", {piece: number for number, piece in enumerate(tokens) if number < min(ADDED)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges()]) + "\n", encoding="utf-8")
    _write(folder / "tokenizer_config.json", _tokenizer())
    _write(folder / "chat_template.json", {"chat_template": TEMPLATE})
    _write(folder / "preprocessor_config.json", FEATURES)
    np.save(folder / "mel_filters.npy", np.asarray(Qwen3ASRFeatureExtractor().mel_filters))
    return folder


def vocabulary(size: int) -> list[str]:
    """The pieces by token id, in the alphabet of byte-level BPE."""
    pieces = [f"t{number}Ċ" for number in range(size)]
    letters = sorted({letter for word in (*PHRASE, *PROMPT_WORDS.values()) for letter in word} - {"Ċ"})
    parts = [part for word in (*PHRASE, *PROMPT_WORDS.values()) for part in _prefixes(word)]
    for number, piece in enumerate(dict.fromkeys([*letters, *parts])):
        if piece not in PROMPT_WORDS.values():
            pieces[number] = piece
    for number, piece in (PROMPT_WORDS | ADDED).items():
        pieces[number] = piece
    return pieces


def merges() -> list[str]:
    """The rules that build the words of the prompt, letter by letter."""
    words = (*PHRASE, *PROMPT_WORDS.values())
    return list(dict.fromkeys(f"{word[:end]} {word[end]}" for word in words for end in range(1, len(word))))


def _prefixes(word: str) -> list[str]:
    return [word[:end] for end in range(2, len(word) + 1)]


def _name(name: str) -> str:
    for native, original in NAMES:
        if name.startswith(native):
            return original + name.removeprefix(native)
    raise ValueError(f"a weight that the original layout does not have: {name}")


def _config(config: dict[str, Any]) -> dict[str, Any]:
    text = config["text_config"]
    text = {**text, "model_type": "qwen3_asr_text", "rope_theta": text["rope_parameters"]["rope_theta"]}
    del text["rope_parameters"]
    third = text["head_dim"] // 2 // 3
    sections = [text["head_dim"] // 2 - 2 * third, third, third]
    text["rope_scaling"] = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": sections}
    return {
        "architectures": config["architectures"],
        "model_type": "qwen3_asr",
        "support_languages": ["English"],
        "thinker_config": {
            "model_type": "qwen3_asr_thinker",
            "audio_config": {**config["audio_config"], "model_type": "qwen3_asr_audio_encoder"},
            "text_config": text,
            "audio_token_id": AUDIO_PAD,
            "audio_start_token_id": AUDIO_START,
            "audio_end_token_id": AUDIO_END,
        },
    }


def _tokenizer() -> dict[str, Any]:
    special = {
        "audio_token": ADDED[AUDIO_PAD],
        "audio_bos_token": ADDED[AUDIO_START],
        "audio_eos_token": ADDED[AUDIO_END],
    }
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        "added_tokens_decoder": {
            str(token): {"content": text, "special": token != ASR_TEXT, **plain} for token, text in ADDED.items()
        },
        "additional_special_tokens": [text for token, text in ADDED.items() if token != ASR_TEXT],
        **special,
        "extra_special_tokens": special,
        "eos_token": ADDED[151645],
        "pad_token": ADDED[151643],
        "add_prefix_space": False,
        "errors": "replace",
        "tokenizer_class": "Qwen2Tokenizer",
        "processor_class": "Qwen3ASRProcessor",
    }


def _write(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
