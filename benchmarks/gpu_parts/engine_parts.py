"""Where the engine's time goes: encoding, prefill, decoding with and without CUDA graphs, and each one's operators.

    python -m benchmarks.gpu_parts.engine_parts '{"model": "tests/tiny/tiny-asr", "device": "cpu", …}'

A process of its own, so that the server has the whole GPU afterwards. Prints a line of JSON for each result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_engine import SLOT_TOKENS, decoding, encode_and_prefill
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.model import AsrModel, warm_up_audio
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.slot_classes import SlotClass

UTTERANCE_S = 5.0
ROUNDS = 3
OPERATORS = 6
"""Of each profile, the most expensive ones."""


def main() -> None:
    plan = json.loads(sys.argv[1])
    options = LoadOptions(plan["model"], device=plan["device"], dtype=plan["dtype"])
    loaded = load_recogniser(options, lambda *_: None)
    if plan["quantize"] != "none":
        quantize(loaded.model, loaded.device, plan["quantize"])
    for rows in plan["rows"]:
        _rows(loaded, rows)


def _rows(loaded: Any, rows: int) -> None:
    """All parts for a batch of `rows` utterances."""
    model = AsrModel(loaded, [SlotClass(rows, SLOT_TOKENS)])
    audio = warm_up_audio(UTTERANCE_S)
    tokens = dict.fromkeys(range(rows), 5)
    timed = [encode_and_prefill(model, rows, audio) for _ in range(ROUNDS + 1)][1:]
    _tell(f"encode_{rows}_ms", [1000 * encode_s for encode_s, _ in timed])
    _tell(f"prefill_{rows}_ms", [1000 * prefill_s for _, prefill_s in timed])
    _tell(f"first_token_{rows}_ms", [1000 * (encode_s + prefill_s) for encode_s, prefill_s in timed])
    _tell(f"decode_{rows}_ms", decoding(model, tokens))
    _profile(f"first_token_{rows}", lambda: encode_and_prefill(model, rows, audio), model.device)
    _profile(f"decode_{rows}", lambda: model.decode(tokens), model.device)
    model.use_graphs()
    graphed = decoding(model, tokens)
    if loaded.device.type == "cuda":
        assert model.accelerations.cuda_graphs, "the steps could not be captured: see the warning"
        _tell(f"decode_graphs_{rows}_ms", graphed)


def _profile(name: str, do: Callable[[], object], device: torch.device) -> None:
    """Tell the share of each operator, and of the time in which the GPU had nothing to do."""
    is_cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]) as profiled:
        began = time.perf_counter()
        do()
        if is_cuda:
            torch.cuda.synchronize(device)
        wall_us = 1e6 * (time.perf_counter() - began)
    what = "self_device_time_total" if is_cuda else "self_cpu_time_total"
    operators = [each for each in profiled.key_averages() if each.device_type == torch.autograd.DeviceType.CPU]
    times = sorted(((getattr(each, what), each.key) for each in operators), reverse=True)
    total = sum(time_us for time_us, _ in times) or 1.0
    for time_us, key in times[:OPERATORS]:
        _tell(f"{name}_share_{key.removeprefix('aten::')}", [time_us / total])
    if is_cuda:
        _tell(f"{name}_gpu_idle_share", [max(1 - total / wall_us, 0.0)])


def _tell(name: str, values: Sequence[float]) -> None:
    print(json.dumps({"name": name, "values": list(values)}), flush=True)


if __name__ == "__main__":
    main()
