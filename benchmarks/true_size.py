"""Random weights of the size of Qwen3-ASR-0.6B or 1.7B: no meaningful text, but the real cost.

    python -m benchmarks.true_size tests/tiny/tiny-asr FOLDER [--size 1.7B]

Writes a checkpoint in bf16 with the tokenizer of the tiny one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import Qwen3ASRConfig, Qwen3ASRForConditionalGeneration, Qwen3ASRProcessor

TEXT = {
    "model_type": "qwen3",
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 65_536,
    "tie_word_embeddings": True,
}
AUDIO = {
    "d_model": 896,
    "encoder_layers": 18,
    "encoder_attention_heads": 14,
    "encoder_ffn_dim": 3584,
    "output_dim": 1024,
}

LARGE_TEXT = {**TEXT, "hidden_size": 2048, "intermediate_size": 6144}
LARGE_AUDIO = {
    "d_model": 1024,
    "encoder_layers": 24,
    "encoder_attention_heads": 16,
    "encoder_ffn_dim": 4096,
    "output_dim": 2048,
}
SIZES = {"0.6B": (TEXT, AUDIO), "1.7B": (LARGE_TEXT, LARGE_AUDIO)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tiny", type=Path, help="the checkpoint whose tokenizer it gets")
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument("--size", choices=SIZES, default="0.6B")
    options = parser.parse_args()
    text, audio = SIZES[options.size]
    small = Qwen3ASRConfig.from_pretrained(options.tiny)
    names = ("audio_token_id", "timestamp_token_id", "pad_token_id", "eos_token_id")
    ids = {name: getattr(small, name) for name in names}
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model = Qwen3ASRForConditionalGeneration(Qwen3ASRConfig(audio_config=audio, text_config=text, **ids))
    model.save_pretrained(options.folder)
    Qwen3ASRProcessor.from_pretrained(options.tiny).save_pretrained(options.folder)


if __name__ == "__main__":
    main()
