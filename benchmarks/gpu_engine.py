"""The engine alone on one GPU, without server and VAD: Qwen3-ASR of true size, random weights, scripted tokens.

    python -m benchmarks.gpu_engine [--size 0.6B] [--json out/gpu_engine.json]
    python -m benchmarks.gpu_engine --backend vllm [--size 0.6B]
    python -m benchmarks.gpu_engine --device cpu --model tests/tiny/tiny-asr --quick

`benchmarks.gpu` measures the same through the server.

`--backend vllm` runs the same load on vLLM, where it is installed, without the times of the parts.

- live_streams: max streams that keep the p95 of steps under --bound-ms, in real time: each speaks for 3 s of every 5,
  which makes an utterance, and has a step every 480 ms. Goals: 500 (0.6B), 200 (1.7B).
- step_ms: median step of one stream alone. Goal: 25.
- offline_audio_s_per_s: recordings in pieces of 24 s through --offline-slots slots. Goals: 2000 (0.6B), 1200 (1.7B).
- decode_ms, decode_graphs_ms: one decoding iteration of 1, 32 and 128 rows, without and with CUDA graphs.
- encode_ms, fill_ms: encoding a window of each of 1, 32 and 128 streams; prefilling their audio.
"""

from __future__ import annotations

import argparse
import heapq
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import harness
from benchmarks.live_load import PERIOD_S, PIECE_S, SPEECH_S, end_of, most_streams, next_step
from benchmarks.offline import true_size
from benchmarks.scripted_qwen import Scripted, new_request
from steno.backends.qwen.batching.request import Request
from steno.backends.qwen.batching.runner import ModelRunner
from steno.backends.qwen.checkpoint.loader import load_recogniser
from steno.backends.qwen.engine_options import LoadOptions
from steno.backends.qwen.model.decoder import PrefillRequest
from steno.backends.qwen.model.model import AsrModel, warm_up_audio
from steno.backends.qwen.model.quantize import quantize
from steno.backends.qwen.model.slot_classes import SlotClass
from steno.types import SAMPLE_RATE

SLOT_TOKENS = 1024
ROWS = (1, 32, 128)


@dataclass(slots=True)
class Load:
    """Streams in real time."""

    runner: ModelRunner
    streams: int
    seconds: float
    audio: Any

    def run(self) -> list[float]:
        """The lags of all steps, seconds from when each was due."""
        due = [(PERIOD_S * n / self.streams, n, 1) for n in range(self.streams)]
        heapq.heapify(due)
        in_progress: dict[Request, float] = {}
        lags: list[float] = []
        began = time.perf_counter()
        while (now := time.perf_counter() - began) < self.seconds or in_progress:
            while due and due[0][0] <= now and now < self.seconds:
                at, stream, step = heapq.heappop(due)
                in_progress[self._start(stream, step)] = at
                at, step = next_step(at, step)
                heapq.heappush(due, (at, stream, step))
            if not in_progress:
                time.sleep(max(0.0, min(due[0][0] - now, 0.01)))
                continue
            for request in self.runner.step():
                lags.append(time.perf_counter() - began - in_progress.pop(request))
                assert request.failure is None
        for stream in range(self.streams):
            self.runner.forget(str(stream))
        return lags

    def _start(self, stream: int, step: int) -> Request:
        end_s = end_of(step)
        audio = self.audio[: round(end_s * SAMPLE_RATE)]
        request = new_request(audio, str(stream), final=end_s >= SPEECH_S)
        self.runner.add_request(request)
        return request


def main() -> None:
    options = _options()
    report = harness.Report("gpu_engine", options)
    with tempfile.TemporaryDirectory() as folder:
        model = str(options.model) if options.model else true_size(Path(folder), options.size)
        if options.backend == "vllm":
            from benchmarks.gpu_vllm import measure

            measure(model, options, report)
            report.finish()
            return
        loaded = load_recogniser(LoadOptions(model, device=options.device, dtype=options.dtype), lambda *_: None)
    if options.int8:
        quantize(loaded.model, loaded.device)
    audio = warm_up_audio(PIECE_S)
    _parts(report, loaded, audio, options.quick)
    report.add("step_ms", *(1000 * lag for lag in _alone(loaded, audio, 10.0 if options.quick else 30.0)))
    report.add("offline_audio_s_per_s", _offline(loaded, audio, 4 if options.quick else options.offline_slots))
    report.add("live_streams", _most_streams(loaded, audio, options))
    report.finish()


def _parts(report: harness.Report, loaded: Any, audio: Any, is_quick: bool) -> None:
    """Time per part."""
    for rows in ROWS[:2] if is_quick else ROWS:
        model = AsrModel(loaded, [SlotClass(rows, SLOT_TOKENS)])
        for is_warm in (False, True):
            encode_s, fill_s = encode_and_prefill(model, rows, audio[: 8 * SAMPLE_RATE - 4000])
            if is_warm:
                report.add(f"encode_{rows}_ms", 1000 * encode_s)
                report.add(f"fill_{rows}_ms", 1000 * fill_s)
        tokens = dict.fromkeys(range(rows), 5)
        report.add(f"decode_{rows}_ms", *decoding(model, tokens))
        if loaded.device.type == "cuda":
            model.use_graphs()
            graphed = decoding(model, tokens)
            assert model.accelerations.cuda_graphs, "the steps could not be captured: see the warning"
            report.add(f"decode_graphs_{rows}_ms", *graphed)


def encode_and_prefill(model: AsrModel, rows: int, audio: Any) -> tuple[float, float]:
    """Seconds to encode a window for each slot, and to prefill it."""
    states = [model.encoder.new_audio_state() for _ in range(rows)]
    for state in states:
        state.extend(audio)
    encode_s = timed(lambda: model.encode(states), model.device)
    before, after = model.prompt_builder.around("", "en")
    prefills = [PrefillRequest(n, [before, *state.embeddings], after) for n, state in enumerate(states)]
    return encode_s, timed(lambda: model.prefill(prefills), model.device)


def decoding(model: AsrModel, tokens: dict[int, int]) -> list[float]:
    """Milliseconds of each of 20 iterations."""
    model.decode(tokens)
    return [1000 * timed(lambda: model.decode(tokens), model.device) for _ in range(20)]


def timed(do: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    do()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _alone(loaded: Any, audio: Any, seconds: float) -> list[float]:
    return Load(Scripted(loaded, 1, SLOT_TOKENS), 1, seconds, audio).run()


def _offline(loaded: Any, audio: Any, slots: int) -> float:
    """Three pieces per slot, each as soon as a slot is free."""
    runner = Scripted(loaded, slots, SLOT_TOKENS)
    pieces, done = 3 * slots, 0
    began = time.perf_counter()
    for _ in range(pieces):
        runner.add_request(new_request(audio))
    while done < pieces:
        done += len(runner.step())
    return pieces * PIECE_S / (time.perf_counter() - began)


def _most_streams(loaded: Any, audio: Any, options: argparse.Namespace) -> int:
    def lags_of(streams: int) -> list[float]:
        slots = min(max(streams, 2), options.max_slots)
        seconds = 6.0 if options.quick else options.seconds
        return Load(Scripted(loaded, slots, SLOT_TOKENS), streams, seconds, audio).run()

    return most_streams(lags_of, options)


def _options() -> argparse.Namespace:
    parser = harness.parser(__doc__)
    parser.add_argument("--model", type=Path, help="a checkpoint; by default random weights of --size")
    parser.add_argument("--backend", default="qwen", choices=["qwen", "vllm"], help="steno's own engine, or vLLM's")
    parser.add_argument("--size", default="0.6B", choices=["0.6B", "1.7B"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--int8", action="store_true", help="with QUANTIZE=int8")
    parser.add_argument("--bound-ms", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each trial")
    parser.add_argument("--most", type=int, default=2048, help="streams that are tried")
    parser.add_argument("--max-slots", type=int, default=1024)
    parser.add_argument("--offline-slots", type=int, default=128)
    return parser.parse_args()


if __name__ == "__main__":
    main()
