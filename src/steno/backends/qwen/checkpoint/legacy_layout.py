"""Converts Qwen's own checkpoint layout into transformers' native one, in memory: configuration, names, processor.

Fields that an original configuration omits have the defaults of Qwen's own classes, which differ from transformers'
(`qwen_asr/core/transformers_backend/configuration_qwen3_asr.py` of qwen-asr 0.0.6).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import Qwen2Tokenizer, Qwen3ASRConfig, Qwen3ASRFeatureExtractor, Qwen3ASRProcessor

from steno.backends.qwen.checkpoint.folder import Kind, read_json
from steno.errors import ModelLoadError

AUDIO_DEFAULTS: dict[str, Any] = {
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "d_model": 1280,
    "activation_function": "gelu",
    "scale_embedding": False,
    "n_window": 100,
    "n_window_infer": 400,
    "output_dim": 3584,
    "downsample_hidden_size": 480,
}
TEXT_DEFAULTS: dict[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 128000,
    "rms_norm_eps": 1e-6,
    "attention_bias": False,
    "tie_word_embeddings": False,
}
ROPE_THETA = 5_000_000.0
AUDIO_TOKEN_ID = 151646
TIMESTAMP_TOKEN_ID = 151705
SEGMENT_MS = 80.0
"""Duration of one timestamp class of the aligner."""
ENDS = [151643, 151645]
PAD = 151645

PLAIN_ROPE = ("default", "mrope")
"""RoPE types that reduce to plain RoPE: audio has one position axis, so that the three of `mrope` are equal."""

SPECIAL_TOKENS = {
    "audio_token": "<|audio_pad|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
}

RECOGNISER_TEMPLATE = """\
{%- set ns = namespace(context='', audio='') -%}
{%- for message in messages -%}
{%- if message.content is string -%}
{%- if message.role == 'system' -%}{%- set ns.context = ns.context + message.content -%}{%- endif -%}
{%- else -%}
{%- for part in message.content -%}
{%- if message.role == 'system' and part.type == 'text' -%}{%- set ns.context = ns.context + part.text -%}{%- endif -%}
{%- if part.type == 'audio' or 'audio' in part or 'audio_url' in part -%}
{%- set ns.audio = ns.audio + '<|audio_start|><|audio_pad|><|audio_end|>' -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- endfor -%}
{{- '<|im_start|>system\\n' + ns.context + '<|im_end|>\\n<|im_start|>user\\n' + ns.audio + '<|im_end|>\\n' -}}
{%- for message in messages if message.role == 'assistant' -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if message.content is string -%}{{- message.content -}}
{%- else -%}{%- for part in message.content if part.type == 'text' -%}{{- part.text -}}{%- endfor -%}{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""
"""Qwen's template extended by the assistant's turn, in which transformers' processor forces a language."""

ALIGNER_TEMPLATE = """\
{%- set ns = namespace(audio='', words=[]) -%}
{%- for message in messages if message.content is not string -%}
{%- for part in message.content -%}
{%- if part.type == 'audio' or 'audio' in part or 'audio_url' in part -%}
{%- set ns.audio = ns.audio + '<|audio_start|><|audio_pad|><|audio_end|>' -%}
{%- endif -%}
{%- if part.type == 'text' -%}{%- set ns.words = ns.words + [part.text] -%}{%- endif -%}
{%- endfor -%}
{%- endfor -%}
{{- ns.audio + ns.words | join('<timestamp><timestamp>') + '<timestamp><timestamp>' -}}
"""

TEMPLATES: dict[Kind, str] = {"recogniser": RECOGNISER_TEMPLATE, "aligner": ALIGNER_TEMPLATE}
HEADS: dict[Kind, str] = {"recogniser": "lm_head.", "aligner": "score."}


def key_mapping(kind: Kind) -> dict[str, str]:
    """Patterns of original weight names and their replacements, for `from_pretrained`."""
    return {
        r"^thinker\.model\.": "model.language_model.",
        r"^thinker\.lm_head\.": HEADS[kind],
        r"^thinker\.audio_tower\.proj1\.": "model.multi_modal_projector.linear_1.",
        r"^thinker\.audio_tower\.proj2\.": "model.multi_modal_projector.linear_2.",
        r"^thinker\.audio_tower\.(?!proj)": "model.audio_tower.",
    }


def read_config(folder: Path, model_id: str) -> Qwen3ASRConfig:
    """The native configuration of a folder in the original layout.

    Raises:
        ModelLoadError: it cannot be read, or uses a feature that is not supported.
    """
    config = read_json(folder, "config.json", model_id)
    thinker = config["thinker_config"]
    audio, text = (_part(thinker, name, model_id) for name in ("audio_config", "text_config"))
    ends, pad = _ends(folder, model_id)
    labels = {"num_labels": thinker["classify_num"]} if "classify_num" in thinker else {}
    tied = bool(text.get("tie_word_embeddings", False))
    return Qwen3ASRConfig(
        audio_config={name: audio.get(name, value) for name, value in AUDIO_DEFAULTS.items()},
        text_config={
            "model_type": "qwen3",
            **{name: text.get(name, value) for name, value in TEXT_DEFAULTS.items()},
            "rope_parameters": _rope(text, model_id),
        },
        audio_token_id=thinker.get("audio_token_id", AUDIO_TOKEN_ID),
        timestamp_token_id=_timestamp(config, "token_id", TIMESTAMP_TOKEN_ID),
        eos_token_id=ends,
        pad_token_id=pad,
        tie_word_embeddings=tied,
        **labels,
    )


def read_processor(folder: Path, kind: Kind, model_id: str) -> Qwen3ASRProcessor:
    """The native processor of a folder in the original layout: its tokenizer and the common feature extractor.

    Raises:
        ModelLoadError: its audio features are not supported, or it cannot be read.
    """
    if (folder / "preprocessor_config.json").is_file():
        _check_features(read_json(folder, "preprocessor_config.json", model_id), model_id)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    if not hasattr(tokenizer, "audio_token"):
        tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True, extra_special_tokens=SPECIAL_TOKENS)
    config = read_json(folder, "config.json", model_id)
    return Qwen3ASRProcessor(
        Qwen3ASRFeatureExtractor(),
        tokenizer,
        chat_template=TEMPLATES[kind],
        timestamp_segment_time=_timestamp(config, "segment_time", SEGMENT_MS),
    )


def _part(thinker: dict[str, Any], name: str, model_id: str) -> dict[str, Any]:
    part = thinker.get(name)
    if not isinstance(part, dict):
        raise ModelLoadError(f"{model_id} is damaged: config.json has no thinker_config.{name}")
    return part


def _rope(text: dict[str, Any], model_id: str) -> dict[str, Any]:
    scaling = text.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in PLAIN_ROPE:
        raise ModelLoadError(f"{model_id} scales its positions by {kind!r}, which is not supported")
    return {"rope_type": "default", "rope_theta": text.get("rope_theta", ROPE_THETA)}


def _ends(folder: Path, model_id: str) -> tuple[list[int], int]:
    """Stop tokens and padding token; they are not in Qwen's config.json."""
    if not (folder / "generation_config.json").is_file():
        return ENDS, PAD
    given = read_json(folder, "generation_config.json", model_id)
    ends = given.get("eos_token_id", ENDS)
    return (ends if isinstance(ends, list) else [ends]), given.get("pad_token_id", PAD)


def _timestamp(config: dict[str, Any], name: str, default: float) -> Any:
    """A timestamp field: Qwen's aligner has it beside `thinker_config`, some copies inside."""
    field = f"timestamp_{name}"
    return config.get(field, config["thinker_config"].get(field, default))


def _check_features(given: dict[str, Any], model_id: str) -> None:
    ours = Qwen3ASRFeatureExtractor()
    for name in ("feature_size", "sampling_rate", "hop_length", "n_fft"):
        if given.get(name, getattr(ours, name)) != getattr(ours, name):
            raise ModelLoadError(f"{model_id} has {name} = {given[name]}; only {getattr(ours, name)} is supported")
