"""vLLM on a CPU, in process: `fp32` or `bf16`. By a bound of one token and of all; it tells no times of parts."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from benchmarks.peering.parts import Parts, given, read_wav, tell
from steno.backends.vllm.engine_args import prepare_environment

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
SAMPLE_RATE = 16_000
PROMPT = (
    "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n<|audio_start|><|audio_pad|><|audio_end|><|im_end|>\n"
    "<|im_start|>assistant\nlanguage English<asr_text>"
)


def main() -> None:
    prepare_environment()
    from vllm import LLM

    plan = given(sys.argv[1])

    model = LLM(
        plan.model, dtype=DTYPES[plan.way], enforce_eager=True, block_size=32, max_model_len=1024, max_num_seqs=1,
        enable_prefix_caching=False, mm_processor_cache_gb=0,
    )  # fmt: skip
    audio = np.frombuffer(read_wav(plan.wav), "<i2").astype(np.float32) / 32768
    _recognise(model, audio, 2)
    first_ms = _recognise(model, audio, 1)
    all_ms = _recognise(model, audio, plan.tokens)
    tell(Parts(first_ms, (all_ms - first_ms) / (plan.tokens - 1)))


def _recognise(model: Any, audio: np.ndarray, tokens: int) -> float:
    from vllm import SamplingParams

    bound = SamplingParams(temperature=0.0, max_tokens=tokens, ignore_eos=True)
    request = {"prompt": PROMPT, "multi_modal_data": {"audio": (audio, SAMPLE_RATE)}}
    began = time.perf_counter()
    (answer,) = model.generate([request], bound, use_tqdm=False)
    assert len(answer.outputs[0].token_ids) == tokens
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
