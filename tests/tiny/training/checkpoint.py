"""An untrained model with its tokenizer and processor, in the layout of Qwen's own native checkpoints."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2Tokenizer,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRForTokenClassification,
    Qwen3ASRProcessor,
)

VOCABULARY = 512
"""Tokens of text, the 256 bytes among them."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|audio_start|>", "<|audio_end|>", "<|audio_pad|>")
ADDED = ("<asr_text>", "<timestamp>")
"""As in the real tokenizer, these two are added tokens that are not special: decoding shows them."""

CLASSES = 400
"""Of the aligner: 80 ms each, 32 s."""

_WORDS = Regex(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, slots=True)
class Size:
    """Layers and widths of the two halves."""

    encoder_layers: int
    layers: int
    width: int
    ffn: int
    heads: int = 4
    head_dim: int = 32
    rope_theta: float = 10_000.0


SIZES = {
    "tiny-asr": Size(encoder_layers=4, layers=4, width=128, ffn=384),
    "tiny-draft": Size(encoder_layers=3, layers=2, width=96, ffn=256),
    "tiny-aligner": Size(encoder_layers=4, layers=6, width=128, ffn=384, head_dim=64, rope_theta=1e6),
}


def new_processor(texts: Iterator[str], template: str) -> Qwen3ASRProcessor:
    """A byte-level BPE like Qwen's, of the given texts, and the feature extractor that all checkpoints share."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.NFC()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_WORDS, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    )
    learned = json.loads(learner.to_str())["model"]
    tokenizer = Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(pair) for pair in learned["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        extra_special_tokens={
            "audio_token": "<|audio_pad|>",
            "audio_bos_token": "<|audio_start|>",
            "audio_eos_token": "<|audio_end|>",
        },
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in ADDED])
    return Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(), tokenizer, chat_template=template)


def new_config(processor: Qwen3ASRProcessor, size: Size, num_labels: int | None = None) -> Qwen3ASRConfig:
    ids = processor.tokenizer.convert_tokens_to_ids
    ends = [ids("<|endoftext|>"), ids("<|im_end|>")]
    labels = {} if num_labels is None else {"num_labels": num_labels}
    return Qwen3ASRConfig(
        audio_config={
            "encoder_layers": size.encoder_layers,
            "encoder_attention_heads": size.heads,
            "encoder_ffn_dim": 4 * size.width,
            "d_model": size.width,
            "output_dim": size.width,
            "downsample_hidden_size": 32,
        },
        text_config={
            "model_type": "qwen3",
            "vocab_size": len(processor.tokenizer),
            "hidden_size": size.width,
            "intermediate_size": size.ffn,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads // 2,
            "head_dim": size.head_dim,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": size.rope_theta},
            "tie_word_embeddings": num_labels is None,
        },
        audio_token_id=ids("<|audio_pad|>"),
        timestamp_token_id=ids("<timestamp>"),
        pad_token_id=ids("<|endoftext|>"),
        eos_token_id=ends,
        tie_word_embeddings=num_labels is None,
        **labels,
    )


def new_asr(processor: Qwen3ASRProcessor, size: Size) -> Qwen3ASRForConditionalGeneration:
    config = new_config(processor, size)
    model = Qwen3ASRForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id, do_sample=False, max_new_tokens=512
    )
    return model


def new_aligner(processor: Qwen3ASRProcessor, size: Size) -> Qwen3ASRForTokenClassification:
    """With eager attention: it tells what it looks at, and on a CPU the way back is three times as fast."""
    model = Qwen3ASRForTokenClassification(new_config(processor, size, CLASSES))
    model.set_attn_implementation("eager")
    return model


def read_asr(folder: Path) -> tuple[Qwen3ASRProcessor, Qwen3ASRForConditionalGeneration]:
    """One that was saved, to go on with."""
    processor = Qwen3ASRProcessor.from_pretrained(folder)
    return processor, Qwen3ASRForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def save(model: torch.nn.Module, processor: Qwen3ASRProcessor, folder: Path) -> None:
    """In bf16, as Qwen's own are."""
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def begin_with(aligner: Qwen3ASRForTokenClassification, recogniser: Path) -> None:
    """The aligner's ears begin with those of a recogniser, of the same size, that has learned to listen."""
    learned = Qwen3ASRForConditionalGeneration.from_pretrained(recogniser, dtype=torch.float32).model
    aligner.model.audio_tower.load_state_dict(learned.audio_tower.state_dict())
    aligner.model.multi_modal_projector.load_state_dict(learned.multi_modal_projector.state_dict())
