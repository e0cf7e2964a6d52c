"""What users of one GPU see: Qwen3-ASR of true size through the server, with VAD, real speech and scripted text.

    python -m benchmarks.gpu --json out/gpu.json [--sizes 0.6B 1.7B] [--budget-s 560]
    python -m benchmarks.gpu --dry-run

It needs nothing but the repository and its environment. The weights are random and made here; the server is the real
one, with a backend that computes the whole model and then replaces the tokens by a script (`gpu_parts`). Each size is
served with CUDA graphs and without them. What does not fit into --budget-s is left out, and said so in `notes`; the
JSON is written after each part, so that a run that is cut leaves what it has. --dry-run runs all of it on a CPU with
the tiny checkpoint in about a minute.

Names begin with the size, those of the server also with `graphs` or `eager` (`0.6B_graphs_live_streams`):

- live_streams: most streams that keep the p95 of partials under --bound-ms; live_partial_p95_ms, live_final_p95_ms and
  live_late there; live_N_p95_ms of each trial. Goals: 500 (0.6B), 200 (1.7B).
- offline_N_audio_s_per_s: recordings of 3 to 60 s, N at once; offline_N_p50_ms, offline_N_p95_ms: their latency.
  Goals with 128: 2000 (0.6B), 1200 (1.7B).
- first_text_N_ms, first_text_N_p95_ms: from a request until the first text of its event stream, N at once.
- offline_N_STAGE_ms: what the server says of its stages in `Server-Timing`. …_step_share: share of the time in which
  the engine computed; …_batch: requests in a step; …_queue_wait_ms; …_vad_share; …_cpu_cores: of all its processes.
- encode_N_ms, prefill_N_ms, first_token_N_ms, decode_N_ms, decode_graphs_N_ms: the engine alone, a batch of N
  utterances of 5 s. …_share_OPERATOR: of the GPU's time; …_gpu_idle_share: it waited for the CPU.
- start_s: from the start of the server with its model loaded by the first request.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks import harness, speech
from benchmarks.gpu_parts import stages
from benchmarks.gpu_parts.budget import Budget
from benchmarks.gpu_parts.streams import best_of, search, trial
from benchmarks.gpu_parts.uploads import Recording, first_text_s, read_recordings, upload_all
from benchmarks.live import LIMITS
from benchmarks.offline import CLIPS, ROOT, TINY
from benchmarks.server import Server

MODULE = "benchmarks.gpu_parts.scripted_steno"
OPEN = {**LIMITS, "MAX_QUEUE": "4096", "MAX_UPLOADS_PER_CLIENT": "4096", "ALIGNER": "none", "IDLE_TIMEOUT": "0"}
"""No limit of the server is reached before the GPU's."""
ENGINE_S, SERVER_S = 60.0, 60.0
"""About what the engine's parts and a server's start and uploads take: with less left, they are left out."""


def main() -> None:
    options = _options()
    report = harness.Report("gpu", options)
    budget = Budget(options.budget_s, report)
    runs = [(size, graphs) for size in options.sizes for graphs in (True, False)]
    with _models(options) as models:
        for number, (size, graphs) in enumerate(runs):
            model = models[size].wait()
            if graphs and budget.allows(f"the parts of the engine, {size}", ENGINE_S):
                _engine(report, options, size, model, budget.left_s)
            own = budget.part(len(runs) - number)
            name = f"{size}_{'graphs' if graphs else 'eager'}"
            if own.allows(f"the server, {name}", SERVER_S):
                try:
                    _serve(report, options, name, model, graphs, own)
                except Exception:  # noqa: BLE001 - a boundary: the other servers are measured, and the JSON has the reason
                    report.note(f"{name} failed: {traceback.format_exc(limit=-3)}")
            report.save()
    report.finish()


def _engine(report: harness.Report, options: argparse.Namespace, size: str, model: str, limit_s: float) -> None:
    plan = {
        "model": model,
        "device": options.device,
        "dtype": options.dtype,
        "quantize": options.quantize,
        "rows": options.rows,
    }
    command = [sys.executable, "-m", "benchmarks.gpu_parts.engine_parts", json.dumps(plan)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        limit = threading.Timer(limit_s, process.kill)
        limit.start()
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    found = json.loads(line)
                    report.add(f"{size}_{found['name']}", *found["values"])
        finally:
            limit.cancel()
    if process.returncode:
        report.note(f"the parts of the engine, {size}, ended with {process.returncode}")
    report.save()


def _serve(
    report: harness.Report, options: argparse.Namespace, name: str, model: str, graphs: bool, budget: Budget
) -> None:
    """Everything that is measured through a server."""
    settings = {
        "ASR_BACKEND": "qwen", "MODEL_ID": model, "DEVICE": options.device, "DTYPE": options.dtype,
        "USE_CUDA_GRAPHS": str(graphs).lower(), "QUANTIZE": options.quantize,
        **({"FRONTS": str(options.fronts)} if options.fronts > 1 else {}),
    }  # fmt: skip
    recordings = read_recordings(CLIPS)
    began = time.perf_counter()
    with Server(MODULE, **OPEN, **settings) as server:
        upload_all(server.url, recordings, 1, 1)
        report.add(f"{name}_start_s", time.perf_counter() - began)
        trial(server.url, speech.SAMPLE, options.fronts, 4.0)  # loads the VAD in every front
        for at_once in options.at_once:
            _offline(report, options, name, server, recordings, at_once)
        for at_once in options.first_text:
            seconds = first_text_s(server.url, _middle(recordings), at_once, max(at_once * 2, options.requests))
            report.add(f"{name}_first_text_{at_once}_ms", *(1000 * each for each in seconds))
            report.add(f"{name}_first_text_{at_once}_p95_ms", 1000 * float(np.percentile(seconds, 95)))
        report.save()
        _live(report, options, name, server, budget)
        for line in server.log().splitlines():
            if "USE_CUDA_GRAPHS" in line:
                report.note(f"{name}: {line}")


def _offline(
    report: harness.Report,
    options: argparse.Namespace,
    name: str,
    server: Server,
    recordings: list[Recording],
    at_once: int,
) -> None:
    name = f"{name}_offline_{at_once}"
    before = stages.look(server)
    served = upload_all(server.url, recordings, at_once, max(at_once * 4, options.requests))
    for what, value in stages.shares(before, stages.look(server)).items():
        report.add(f"{name}_{what}", value)
    report.add(f"{name}_audio_s_per_s", served.audio_s / served.wall_s)
    for percent in (50, 95):
        report.add(f"{name}_p{percent}_ms", 1000 * float(np.percentile(served.latencies_s, percent)))
    for stage, ms in served.stages_ms.items():
        report.add(f"{name}_{stage}_ms", statistics.median(ms))


def _live(report: harness.Report, options: argparse.Namespace, name: str, server: Server, budget: Budget) -> None:
    before, trials = stages.look(server), []
    for tried in search(
        server.url, speech.SAMPLE, budget,
        start=options.start, most=options.most, seconds=options.seconds, bound_ms=options.bound_ms,
    ):  # fmt: skip
        print(f"  {tried}", flush=True)
        trials.append(tried)
        report.add(f"{name}_live_{tried.streams}_p95_ms", tried.partial_p95_ms)
        report.save()
    for what, value in stages.shares(before, stages.look(server)).items():
        report.add(f"{name}_live_{what}", value)
    best = best_of(trials, options.bound_ms)
    report.add(f"{name}_live_streams", best.streams if best else 0)
    if best:
        report.add(f"{name}_live_partial_p95_ms", best.partial_p95_ms)
        report.add(f"{name}_live_final_p95_ms", best.final_p95_ms)
        report.add(f"{name}_live_late", best.late)


def _middle(recordings: list[Recording]) -> Recording:
    """Of median length."""
    return sorted(recordings, key=lambda each: each.seconds)[len(recordings) // 2]


class Making:
    """Weights that are being made, in a process of their own."""

    def __init__(self, folder: Path, size: str) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "benchmarks.true_size", str(TINY), str(folder), "--size", size]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=ROOT)

    def wait(self) -> str:
        """The folder, once it is complete."""
        if self._process.wait(300):
            raise RuntimeError(f"the weights for {self._folder} could not be made")
        return str(self._folder)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Given(Making):
    """A checkpoint that is there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def wait(self) -> str:
        return str(self._folder)

    def stop(self) -> None:
        pass


@contextmanager
def _models(options: argparse.Namespace) -> Iterator[dict[str, Making]]:
    """The checkpoint of each size. All are made at once, while the first one is measured."""
    if options.model:
        yield dict.fromkeys(options.sizes, Given(options.model))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = {size: Making(Path(folder) / size, size) for size in options.sizes}
        try:
            yield made
        finally:
            for each in made.values():
                each.stop()


def _options() -> argparse.Namespace:
    cores = os.cpu_count() or 1
    parser = harness.parser(__doc__)
    parser.add_argument("--dry-run", action="store_true", help="all of it on a CPU, with the tiny checkpoint")
    parser.add_argument("--budget-s", type=float, default=560.0, help="of the whole run")
    parser.add_argument("--sizes", nargs="+", default=["0.6B", "1.7B"], choices=["0.6B", "1.7B"])
    parser.add_argument("--model", type=Path, help="a checkpoint in place of random weights; its name is the size's")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none", choices=["none", "int8", "fp8"], help="the server's QUANTIZE")
    parser.add_argument("--fronts", type=int, default=4 if cores >= 8 else 1, help="processes that serve the port")
    parser.add_argument("--bound-ms", type=float, default=500.0, help="p95 of partials")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each live trial")
    parser.add_argument("--start", type=int, default=256, help="streams of the first trial")
    parser.add_argument("--most", type=int, default=2048, help="streams that are tried")
    parser.add_argument("--at-once", type=int, nargs="+", default=[1, 8, 128], help="uploads")
    parser.add_argument("--first-text", type=int, nargs="+", default=[1, 16], help="requests at once")
    parser.add_argument("--requests", type=int, default=12, help="at least, of each number at once")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16, 128], help="of the engine's parts")
    dry = {
        "device": "cpu", "model": TINY, "fronts": 1, "seconds": 5.0, "start": 1, "most": 2,
        "at_once": [1, 4], "first_text": [1, 2], "requests": 4, "rows": [1, 2], "budget_s": 240.0,
    }  # fmt: skip
    options, _ = parser.parse_known_args()
    if options.dry_run or options.quick:
        parser.set_defaults(**dry)
    options = parser.parse_args()
    if options.model:
        options.sizes = [options.model.name]
    return options


if __name__ == "__main__":
    main()
