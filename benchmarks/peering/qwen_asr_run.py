"""Qwen's own package `qwen-asr` on transformers: `fp32` or `bf16`.

It tells no times: the encoder is timed by hooks, the rest by recognising with a bound of one token and of all.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch
from qwen_asr import Qwen3ASRModel

from benchmarks.peering.parts import Parts, given, read_wav, tell

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SAMPLE_RATE = 16_000


def main() -> None:
    plan = given(sys.argv[1])
    torch.set_num_threads(plan.threads)
    model = Qwen3ASRModel.from_pretrained(plan.model, dtype=DTYPES[plan.way], device_map="cpu")
    audio = np.frombuffer(read_wav(plan.wav), "<i2").astype(np.float32) / 32768
    encoder = _Timer(model.model.thinker.audio_tower)
    _recognise(model, audio, 2)
    first_ms = _recognise(model, audio, 1)
    encoder_ms = encoder.last_ms
    all_ms = _recognise(model, audio, plan.tokens)
    decode_ms = (all_ms - first_ms) / (plan.tokens - 1)
    tell(Parts(first_ms, decode_ms, encoder_ms, first_ms - encoder_ms))


def _recognise(model: Any, audio: np.ndarray, tokens: int) -> float:
    model.max_new_tokens = tokens
    began = time.perf_counter()
    model.transcribe((audio, SAMPLE_RATE), language="English")
    return 1000 * (time.perf_counter() - began)


class _Timer:
    """Times each forward pass of a module."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._began = 0.0
        self.last_ms = 0.0
        module.register_forward_pre_hook(self._begin)
        module.register_forward_hook(self._end)

    def _begin(self, *_: object) -> None:
        self._began = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.last_ms = 1000 * (time.perf_counter() - self._began)


if __name__ == "__main__":
    main()
