"""The reference: transformers' `generate` on the same pieces and weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from steno.backends.base import Recognize
from steno.backends.qwen.checkpoint.loader import LoadedCheckpoint
from steno.backends.qwen3_asr.prompt import LANGUAGES
from steno.backends.qwen3_asr.work_limits import token_limit
from steno.types import SAMPLE_RATE


@torch.inference_mode()
def generate(loaded: LoadedCheckpoint, ends: frozenset[int], works: Sequence[Recognize]) -> list[tuple[int, ...]]:
    """The tokens of each, without the end token; in one batch, padded to the longest."""
    output, start = _output(loaded, works)
    return [_cut(row, ends) for row in output[:, start:].tolist()]


@torch.inference_mode()
def scores_at(loaded: LoadedCheckpoint, work: Recognize, step: int) -> torch.Tensor | None:
    """Scores of the vocabulary at token `step`; None if the text had ended before."""
    output, _ = _output(loaded, [work], output_scores=True, return_dict_in_generate=True)
    return output.scores[step][0].float() if step < len(output.scores) else None


def _output(loaded: LoadedCheckpoint, works: Sequence[Recognize], **wishes: Any) -> tuple[Any, int]:
    processor: Any = loaded.processor
    inputs = processor.apply_transcription_request(
        [work.audio for work in works],
        language=[LANGUAGES[work.language] if work.language else None for work in works],
        prompt=[work.context or None for work in works],
    ).to(loaded.device, loaded.dtype)
    limit = max(token_limit(len(work.audio) / SAMPLE_RATE) for work in works)
    model: Any = loaded.model
    output = model.generate(**inputs, max_new_tokens=limit, do_sample=False, **wishes)
    return output, inputs["input_ids"].shape[1]


def _cut(tokens: Sequence[int], ends: frozenset[int]) -> tuple[int, ...]:
    last = next((n for n, token in enumerate(tokens) if token in ends), len(tokens))
    return tuple(tokens[:last])
