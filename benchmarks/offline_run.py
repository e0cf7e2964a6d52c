"""One way of recognising clips, in a process of its own, for `benchmarks.offline`.

    python -m benchmarks.offline_run '{"way": "steno", "model": "tests/tiny/tiny-asr", …}'

Prints JSON: seconds of each round, tokens of each clip and steno's texts, peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from steno.audio.decode import decode
from steno.backends.base import Recognize
from steno.backends.qwen.backend import QwenBackend
from steno.backends.qwen.batching.cascade import Cascade as Way
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import EngineOptions, LoadOptions
from steno.backends.qwen.model.model import AsrModel
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.types import SAMPLE_RATE, Hypothesis

SLOT_TOKENS = 2048
TOKENS_PER_S = 3


@dataclass
class Plan:
    """Options of a run; see `benchmarks.offline`."""

    way: str
    """`steno`, `generate-batched` or `generate-one`."""
    model: str
    clips: list[str]
    rounds: int
    batch: int
    dtype: str = "float32"
    int8: bool = False
    threads: int = 1
    scripted: bool = False
    """Random weights know no end: each clip gets three tokens a second, as speech has."""


def main() -> None:
    plan = Plan(**json.loads(sys.argv[1]))
    clips = [np.concatenate(list(decode(Path(clip), max_seconds=None))) for clip in plan.clips]
    loaded = load_recogniser(LoadOptions(plan.model, device="cpu", dtype=plan.dtype), lambda *_: None)
    if plan.int8:
        quantize(loaded.model, loaded.device)
    torch.set_num_threads(plan.threads)
    lengths = [round(TOKENS_PER_S * len(clip) / SAMPLE_RATE) for clip in clips] if plan.scripted else None
    run = _Steno(plan, loaded, clips, lengths) if plan.way == "steno" else _Generate(plan, loaded, clips, lengths)
    run(clips[:2])
    seconds, tokens = [], []
    for _ in range(plan.rounds):
        began = time.perf_counter()
        tokens = run(clips)
        seconds.append(time.perf_counter() - began)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    texts = run.texts if isinstance(run, _Steno) else []
    print(json.dumps({"seconds": seconds, "tokens": tokens, "texts": texts, "peak_mb": peak_mb}))


class _Steno:
    """The backend as the engine drives it: one piece per slot, the next as soon as a slot is free."""

    def __init__(self, plan: Plan, loaded: Any, clips: list[Any], lengths: list[int] | None) -> None:
        self._plan = plan
        model = AsrModel(loaded, [SlotClass(plan.batch, SLOT_TOKENS)])
        self._limits = {id(clip): length for clip, length in zip(clips, lengths or [], strict=False)}
        if plan.scripted:
            model.stop_token_ids = frozenset()
        self._way = Way(ModelRunner(model))
        self.texts: list[str] = []
        """Of the last run."""

    def __call__(self, clips: list[Any]) -> list[list[int]]:
        backend = _Kept(self._plan, self._way, self._limits)
        works = [Recognize(clip) for clip in clips]
        todo, done, running = list(works), 0, 0
        while done < len(works):
            while todo and running < self._plan.batch:
                backend.admit(todo.pop(0))
                running += 1
            finished = len(backend.step())
            running -= finished
            done += finished
        self.texts = [backend.texts[work] for work in works]
        return [backend.tokens[work] for work in works]


class _Kept(QwenBackend):
    """Records the tokens that it decodes."""

    def __init__(self, plan: Plan, way: Way, limits: dict[int, int]) -> None:
        super().__init__(LoadOptions(plan.model), EngineOptions(plan.batch))
        self._cascade = way
        self.tokens: dict[Recognize, list[int]] = {}
        self.texts: dict[Recognize, str] = {}
        self._limits = limits

    def max_tokens(self, work: Recognize) -> int:
        return self._limits.get(id(work.audio)) or super().max_tokens(work)

    def _read(self, request: Any, runner: Any) -> Any:
        self.tokens[request.work] = list(request.tokens)
        read = super()._read(request, runner)
        if isinstance(read, Hypothesis):
            self.texts[request.work] = read.text
        return read


class _Generate:
    """transformers alone: its processor and `generate`, one clip at a time or in batches of similar lengths."""

    def __init__(self, plan: Plan, loaded: Any, clips: list[Any], lengths: list[int] | None) -> None:
        self._loaded = loaded
        self._batch = plan.batch if plan.way == "generate-batched" else 1
        self._limits = {id(clip): length for clip, length in zip(clips, lengths or [], strict=False)}
        ends = loaded.model.generation_config.eos_token_id
        self._ends = set() if plan.scripted else {ends} if isinstance(ends, int) else set(ends)

    def __call__(self, clips: list[Any]) -> list[list[int]]:
        order = sorted(range(len(clips)), key=lambda n: len(clips[n]))
        tokens: dict[int, list[int]] = {}
        for at in range(0, len(order), self._batch):
            some = order[at : at + self._batch]
            tokens.update(zip(some, self._generate([clips[n] for n in some]), strict=True))
        return [tokens[n] for n in range(len(clips))]

    @torch.inference_mode()
    def _generate(self, clips: list[Any]) -> list[list[int]]:
        inputs = self._loaded.processor.apply_transcription_request(clips).to(dtype=self._loaded.dtype)
        limits = [self._limits.get(id(clip), 500) for clip in clips]
        settings: dict[str, Any] = {"max_new_tokens": max(limits), "do_sample": False}
        if self._limits:
            settings |= {"eos_token_id": None, "stopping_criteria": [_EachAtItsEnd(limits, inputs)]}
        rows = self._loaded.model.generate(**inputs, **settings)[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._cut(row[:limit]) for row, limit in zip(rows, limits, strict=True)]

    def _cut(self, row: list[int]) -> list[int]:
        return row[: next((n for n, token in enumerate(row) if token in self._ends), len(row))]


class _EachAtItsEnd:
    """Ends each row at its own length, as an end token would."""

    def __init__(self, limits: list[int], inputs: Any) -> None:
        self._limits = torch.tensor(limits)
        self._asked = inputs["input_ids"].shape[1]

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        return input_ids.shape[1] - self._asked >= self._limits


if __name__ == "__main__":
    main()
