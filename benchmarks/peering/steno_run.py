"""steno's engine on one clip, computing in one way: `fp32`, `bf16` or `int8`.

The prompt has as many tokens as Qwen's tokenizer makes of it, so that all prefill the same.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from benchmarks.peering.parts import Parts, given, read_wav, tell
from steno.backends.drafts import Ids
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.slot_classes import SlotClass

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "int8": "float32"}
PROMPT: tuple[Ids, Ids] = (tuple(range(2, 11)), tuple(range(2, 11)))
"""Nine tokens before the audio and nine after it, with a forced language."""
SLOT_TOKENS = 1024
WARM_UP_TOKENS = 3


def main() -> None:
    plan = given(sys.argv[1])
    loaded = load_recogniser(LoadOptions(plan.model, device="cpu", dtype=DTYPES[plan.way]), lambda *_: None)
    if plan.way == "int8":
        quantize(loaded.model, loaded.device)
    torch.set_num_threads(plan.threads)
    model = AsrModel(loaded, [SlotClass(1, SLOT_TOKENS)])
    audio = np.frombuffer(read_wav(plan.wav), "<i2").astype(np.float32) / 32768
    measure(model, audio, WARM_UP_TOKENS)
    tell(measure(model, audio, plan.tokens))


def measure(model: AsrModel, audio: np.ndarray, tokens: int) -> Parts:
    """One clip from its samples to its last token."""
    state = model.encoder.new_audio_state()
    features_ms = _timed(lambda: model.extend_audio([(state, audio)]))
    encoder_ms = _timed(lambda: model.encode([state]))
    before, after = PROMPT
    model.decoder.reset_slot(0)
    sampled: list[Sequence[int]] = []
    request = PrefillRequest(0, [before, *state.embeddings], after)
    prefill_ms = _timed(lambda: sampled.append([one.token for one in model.prefill([request])[0]]))
    token = sampled[0][0]
    began = time.perf_counter()
    for _ in range(tokens - 1):
        token = model.decode({0: token})[0].token
    decode_ms = 1000 * (time.perf_counter() - began) / (tokens - 1)
    return Parts(features_ms + encoder_ms + prefill_ms, decode_ms, encoder_ms, prefill_ms)


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
