"""KV cache slots of two lengths: memory of a slot, slots in equal memory, and what a batch over both classes costs.

    python -m benchmarks.kv_slots [--quick] [--true-size] [--json out/kv_slots.json]

- short_slot_mb, long_slot_mb: allocated tensors of a slot at the size of Qwen3-ASR-0.6B in bf16.
- slots_N_gb, uniform_N_gb: slots in N GB of GPU memory for weights and slots, with the default share of long ones, and
  if all are long, as they were before there were two classes.
- uniform_ms: one decoding iteration of --rows rows, half of which have 150 tokens and half 450, all in long slots.
- short_over_uniform, split_over_uniform: the same with all rows in short slots, and with half of them in each class.
- two_passes_over_uniform: as split, but with a forward pass for each class.
- move_over_uniform: moving a slot of 450 tokens.

On one thread of the CPU, with the tiny checkpoint. `--true-size`: random weights of the size of Qwen3-ASR-0.6B, int8.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen3Config

from benchmarks import harness
from benchmarks.offline import TINY, true_size
from benchmarks.true_size import TEXT
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model import memory_plan
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.slot_classes import SHORT_LENGTH, SlotClass, SlotCounts, least_long
from steno.backends.qwen.model.slot_pool import SlotPool
from steno.backends.qwen3_asr.prompt import MAX_CONTEXT_TOKENS
from steno.backends.qwen3_asr.work_limits import MAX_AUDIO_S, PROMPT_TOKENS, token_limit

LONG_LENGTH = MAX_CONTEXT_TOKENS + PROMPT_TOKENS + token_limit(MAX_AUDIO_S)
WEIGHTS_MB = 1_565
GPUS_GB = (8, 16, 24, 80)
LENGTHS = (150, 450)


def main() -> None:
    options = _options()
    report = harness.Report("kv_slots", options)
    sizes = memory_plan.SlotSizes(*(_measured_bytes(length) for length in (SHORT_LENGTH, LONG_LENGTH)))
    report.add("short_slot_mb", sizes.short / 1e6)
    report.add("long_slot_mb", sizes.long / 1e6)
    for gb in GPUS_GB:
        for name, counts in (("slots", _slots), ("uniform", _uniform)):
            report.add(f"{name}_{gb}_gb", counts(gb * 1e9 - WEIGHTS_MB * 1e6, sizes))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        name = true_size(Path(folder)) if options.true_size else str(TINY)
        loaded = load_recogniser(LoadOptions(name, device="cpu", dtype="float32"), lambda *_: None)
    if options.true_size:
        quantize(loaded.model, loaded.device)
    _measure_steps(loaded, options, report)
    report.finish()


def _measure_steps(loaded: Any, options: argparse.Namespace, report: harness.Report) -> None:
    rows, half = options.rows, options.rows // 2
    uniform = _Filled(loaded, [SlotClass(rows, LONG_LENGTH)])
    short = _Filled(loaded, [SlotClass(rows, SHORT_LENGTH), SlotClass(1, LONG_LENGTH)])
    split = _Filled(loaded, [SlotClass(half, SHORT_LENGTH), SlotClass(rows - half, LONG_LENGTH)])
    halves = range(half), range(half, rows)
    for _ in range(3 if options.quick else 30):
        base = uniform.step_ms(range(rows))
        report.add("uniform_ms", base)
        report.add("short_over_uniform", short.step_ms(range(rows)) / base)
        report.add("split_over_uniform", split.step_ms(range(rows)) / base)
        report.add("two_passes_over_uniform", sum(split.step_ms(some) for some in halves) / base)
        report.add("move_over_uniform", short.move_ms(rows - 1, rows) / base)


class _Filled:
    """A model whose slots hold tokens, the first half of them `LENGTHS[0]`, the other one `LENGTHS[1]`."""

    def __init__(self, loaded: Any, classes: list[SlotClass]) -> None:
        self._model = AsrModel(loaded, classes)
        rows = self._model.slots - (len(classes) > 1 and classes[1].slots == 1)
        for slot in range(rows):
            tokens = tuple(5 + (slot + n) % 200 for n in range(LENGTHS[slot >= rows // 2]))
            self._model.prefill([PrefillRequest(slot, (tokens,), needs_logits=False)])
        for _ in range(2):
            self.step_ms(range(rows))

    def step_ms(self, slots: range) -> float:
        """One iteration; the slots hold as many tokens afterwards as before."""
        found = _ms(lambda: self._model.decode(dict.fromkeys(slots, 7)))
        for slot in slots:
            self._model.decoder.rewind(slot, 1)
        return found

    def move_ms(self, slot: int, free: int) -> float:
        """A move there; the slot gets its contents back."""
        found = _ms(lambda: self._model.move_slot(slot, free))
        self._model.move_slot(free, slot)
        return found


def _measured_bytes(length: int) -> int:
    pool = SlotPool(Qwen3Config(**TEXT), SlotClass(1, length), torch.bfloat16, torch.device("cpu"))
    pool.reserve(length)
    return sum(tensor.untyped_storage().nbytes() for tensor in (*pool.keys, *pool.values))


def _slots(room: float, sizes: memory_plan.SlotSizes) -> int:
    """As `memory_plan` counts without a limit."""
    return memory_plan.counts_in(room, SlotCounts(4096, least_long(4096)), sizes).total


def _uniform(room: float, sizes: memory_plan.SlotSizes) -> int:
    return int(room // sizes.long)


def _ms(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return 1000 * (time.perf_counter() - began)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--true-size", action="store_true", help="random weights of the size of Qwen3-ASR-0.6B")
    parser.add_argument("--rows", type=int, default=8, help="of the decoding iteration")
    return parser.parse_args()


if __name__ == "__main__":
    main()
