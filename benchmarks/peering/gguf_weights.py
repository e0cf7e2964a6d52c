"""Writes the checkpoint of `original_weights` as GGUF in the form that transcribe.cpp reads.

Runs in the peer's environment, which has `gguf` and `numpy` and neither torch nor steno. Convolutions are in fp16,
norms and biases in fp32, all else in bf16 or in ggml's 8-bit blocks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter, quants

from benchmarks.peering.original_weights import ADDED, ASR_TEXT, AUDIO_END, AUDIO_PAD, AUDIO_START, merges, vocabulary

TYPES = {"bf16": Type.BF16, "q8": Type.Q8_0}
ENCODER = {
    "n_layers": "encoder_layers", "d_model": "d_model", "n_heads": "encoder_attention_heads",
    "ffn_dim": "encoder_ffn_dim", "num_mel_bins": "num_mel_bins", "downsample_hidden": "downsample_hidden_size",
    "output_dim": "output_dim", "n_window": "n_window", "n_window_infer": "n_window_infer",
}  # fmt: skip
DECODER = {
    "n_layers": "num_hidden_layers", "hidden_size": "hidden_size", "intermediate_size": "intermediate_size",
    "n_heads": "num_attention_heads", "n_kv_heads": "num_key_value_heads", "head_dim": "head_dim",
    "max_position_embeddings": "max_position_embeddings", "vocab_size": "vocab_size",
}  # fmt: skip
NAMES = (
    ("thinker.audio_tower.layers.", "enc.blocks."), ("thinker.model.layers.", "dec.blocks."),
    ("thinker.model.embed_tokens.", "dec.token_embd."), ("thinker.model.norm.", "dec.output_norm."),
    ("thinker.audio_tower.conv2d1.", "enc.conv.0."), ("thinker.audio_tower.conv2d2.", "enc.conv.1."),
    ("thinker.audio_tower.conv2d3.", "enc.conv.2."), ("thinker.audio_tower.", "enc."),
    ("self_attn_layer_norm.", "norm_attn."), ("final_layer_norm.", "norm_ffn."), ("self_attn.out_proj.", "attn.out."),
    ("input_layernorm.", "norm_attn."), ("post_attention_layernorm.", "norm_ffn."),
    ("self_attn.q_norm.", "attn.q_norm."), ("self_attn.k_norm.", "attn.k_norm."), ("self_attn.q_proj.", "attn.q."),
    ("self_attn.k_proj.", "attn.k."), ("self_attn.v_proj.", "attn.v."), ("self_attn.o_proj.", "attn.o."),
    ("mlp.gate_proj.", "ffn.gate."), ("mlp.up_proj.", "ffn.up."), ("mlp.down_proj.", "ffn.down."),
    (".fc1.", ".ffn.fc1."), (".fc2.", ".ffn.fc2."),
)  # fmt: skip
FRAMES, MEL_BINS, N_FFT, HOP, RATE = 1500, 128, 400, 160, 16_000
NORMAL, CONTROL = 1, 3


def write_gguf(original: Path, file: Path, way: str) -> Path:
    """Write the checkpoint in `original` to `file`, if it is not there; returns it."""
    if file.is_file():
        return file
    config = json.loads((original / "config.json").read_text(encoding="utf-8"))["thinker_config"]
    writer = GGUFWriter(str(file), "qwen3_asr")
    _add_settings(writer, config)
    _add_tokenizer(writer, config["text_config"]["vocab_size"])
    _add_frontend(writer, np.load(original / "mel_filters.npy"))
    for name, values in _tensors(original / "model.safetensors"):
        kind = _type(name, values, TYPES[way])
        writer.add_tensor(name, quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _type(name: str, values: np.ndarray, linear: Type) -> Type:
    if values.ndim == 1 or "norm" in name:
        return Type.F32
    return Type.F16 if name.startswith("enc.conv.") else linear


def _tensors(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values in fp32, from bf16: numpy has no bf16, of which fp32 is the longer form."""
    with file.open("rb") as weights:
        size = int.from_bytes(weights.read(8), "little")
        header = json.loads(weights.read(size))
    for name, entry in header.items():
        if name == "__metadata__" or "lm_head" in name:  # tied to the embeddings
            continue
        begin, end = entry["data_offsets"]
        halves = np.fromfile(file, "<u2", (end - begin) // 2, offset=8 + size + begin)
        yield _name(name), (halves.astype("<u4") << 16).view("<f4").reshape(entry["shape"])


def _name(name: str) -> str:
    for original, ggml in NAMES:
        name = name.replace(original, ggml)
    return name


def _add_settings(writer: GGUFWriter, config: dict[str, Any]) -> None:
    audio, text = config["audio_config"], config["text_config"]
    writer.add_string("general.basename", "qwen3-asr")
    writer.add_array("general.languages", ["en"])
    writer.add_string("stt.variant", "qwen3-asr-0.6b")
    writer.add_bool("stt.capability.lang_detect", True)
    for key, name in ENCODER.items():
        writer.add_uint32(f"stt.qwen3_asr.encoder.{key}", audio[name])
    writer.add_uint32("stt.qwen3_asr.encoder.max_source_positions", FRAMES)
    writer.add_uint32("stt.qwen3_asr.encoder.conv_chunksize", 500)
    writer.add_string("stt.qwen3_asr.encoder.activation", "gelu")
    for key, name in DECODER.items():
        writer.add_uint32(f"stt.qwen3_asr.decoder.{key}", text[name])
    writer.add_string("stt.qwen3_asr.decoder.hidden_act", "silu")
    writer.add_float32("stt.qwen3_asr.decoder.rms_norm_eps", text["rms_norm_eps"])
    writer.add_float32("stt.qwen3_asr.decoder.rope_theta", text["rope_theta"])
    third = text["head_dim"] // 2 // 3
    for axis, width in zip("thw", (text["head_dim"] // 2 - 2 * third, third, third), strict=True):
        writer.add_uint32(f"stt.qwen3_asr.decoder.rope_mrope_section_{axis}", width)
    writer.add_bool("stt.qwen3_asr.decoder.rope_mrope_interleaved", True)
    writer.add_bool("stt.qwen3_asr.decoder.tie_word_embeddings", True)
    for key, token in (("audio", AUDIO_PAD), ("audio_start", AUDIO_START), ("audio_end", AUDIO_END)):
        writer.add_uint32(f"stt.qwen3_asr.{key}_token_id", token)


def _add_tokenizer(writer: GGUFWriter, size: int) -> None:
    special = set(ADDED) - {ASR_TEXT}
    writer.add_string("tokenizer.ggml.model", "gpt2")
    writer.add_string("tokenizer.ggml.pre", "qwen2")
    writer.add_array("tokenizer.ggml.tokens", vocabulary(size))
    writer.add_array("tokenizer.ggml.token_type", [CONTROL if token in special else NORMAL for token in range(size)])
    writer.add_array("tokenizer.ggml.merges", merges())
    writer.add_uint32("tokenizer.ggml.eos_token_id", 151645)
    writer.add_uint32("tokenizer.ggml.padding_token_id", 151643)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)


def _add_frontend(writer: GGUFWriter, filters: np.ndarray) -> None:
    for key, text in (("type", "mel"), ("window", "hann_periodic"), ("normalize", "per_utterance"),
                      ("pad_mode", "reflect"), ("mel_norm", "slaney")):  # fmt: skip
        writer.add_string(f"stt.frontend.{key}", text)
    for key, number in (("num_mels", MEL_BINS), ("sample_rate", RATE), ("n_fft", N_FFT), ("win_length", N_FFT),
                        ("hop_length", HOP), ("chunk_length", 30), ("n_samples", 30 * RATE),
                        ("nb_max_frames", 2 * FRAMES)):  # fmt: skip
        writer.add_uint32(f"stt.frontend.{key}", number)
    for key, value in (("dither", 0.0), ("pre_emphasis", 0.0), ("f_min", 0.0), ("f_max", RATE / 2)):
        writer.add_float32(f"stt.frontend.{key}", value)
    writer.add_bool("stt.frontend.center", True)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    writer.add_tensor("frontend.mel_filterbank", np.ascontiguousarray(filters.T, np.float32))
    writer.add_tensor("frontend.window", window.astype(np.float32))
